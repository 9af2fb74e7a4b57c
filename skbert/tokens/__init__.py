"""From texts to batches of token ids.

Texts are tokenized once and kept without padding. Batches of similar lengths are
padded when they are made, for training and for prediction.
"""
