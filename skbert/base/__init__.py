"""What estimators share: outputs per label, responses and metadata routing.

`MultiLabelOutputMixin` derives every prediction method from one matrix of
probabilities. The other modules let meta-estimators talk to any scikit-learn
classifier.
"""
