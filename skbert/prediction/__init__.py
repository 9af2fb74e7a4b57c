"""From a trained network to probabilities.

`Predictor` runs batches through the network, and `TextPredictionMixin` turns its logits
into the prediction methods of an estimator.
"""
