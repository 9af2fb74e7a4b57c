"""Multi-label scores that know what NaN means: the label of this cell is unknown.

Without NaN they equal scikit-learn's functions of the same name wherever those are
defined; with NaN they run over the known cells only.
"""

from skbert.metrics.accuracy import nan_accuracy_score, nan_balanced_accuracy_score
from skbert.metrics.counts import (
    Counts,
    nan_count_score,
    nan_f1_score,
    nan_fbeta_score,
    nan_jaccard_score,
    nan_precision_score,
    nan_recall_score,
)
from skbert.metrics.inputs import Matrix
from skbert.metrics.log_loss import multilabel_log_loss
from skbert.metrics.ranking import nan_average_precision_score, nan_roc_auc_score
from skbert.metrics.report import multilabel_report
from skbert.metrics.top_k import nan_ndcg_score, precision_at_k, recall_at_k

__all__ = [
    "Counts",
    "Matrix",
    "multilabel_log_loss",
    "multilabel_report",
    "nan_accuracy_score",
    "nan_average_precision_score",
    "nan_balanced_accuracy_score",
    "nan_count_score",
    "nan_f1_score",
    "nan_fbeta_score",
    "nan_jaccard_score",
    "nan_ndcg_score",
    "nan_precision_score",
    "nan_recall_score",
    "nan_roc_auc_score",
    "precision_at_k",
    "recall_at_k",
]
