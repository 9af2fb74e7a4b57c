"""Multi-label scores and scorers in which NaN means that a label is unknown.

Without NaN the scores equal scikit-learn's functions of the same name wherever those
are defined. With NaN they use the known cells only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from skbert.metrics.accuracy import nan_accuracy_score as nan_accuracy_score
    from skbert.metrics.accuracy import (
        nan_balanced_accuracy_score as nan_balanced_accuracy_score,
    )
    from skbert.metrics.checks import Matrix as Matrix
    from skbert.metrics.counts import nan_count_score as nan_count_score
    from skbert.metrics.counts import nan_f1_score as nan_f1_score
    from skbert.metrics.counts import nan_fbeta_score as nan_fbeta_score
    from skbert.metrics.counts import nan_jaccard_score as nan_jaccard_score
    from skbert.metrics.counts import nan_precision_score as nan_precision_score
    from skbert.metrics.counts import nan_recall_score as nan_recall_score
    from skbert.metrics.log_loss import multilabel_log_loss as multilabel_log_loss
    from skbert.metrics.ranking import (
        nan_average_precision_score as nan_average_precision_score,
    )
    from skbert.metrics.ranking import nan_roc_auc_score as nan_roc_auc_score
    from skbert.metrics.report import multilabel_report as multilabel_report
    from skbert.metrics.scorers import get_multilabel_scorer as get_multilabel_scorer
    from skbert.metrics.scorers import (
        get_multilabel_scorer_names as get_multilabel_scorer_names,
    )
    from skbert.metrics.scorers import resolve_scoring as resolve_scoring
    from skbert.metrics.top_k import nan_ndcg_score as nan_ndcg_score
    from skbert.metrics.top_k import precision_at_k as precision_at_k
    from skbert.metrics.top_k import recall_at_k as recall_at_k

__all__ = [
    "Matrix",
    "get_multilabel_scorer",
    "get_multilabel_scorer_names",
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
    "resolve_scoring",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Matrix": "checks",
        "get_multilabel_scorer": "scorers",
        "get_multilabel_scorer_names": "scorers",
        "multilabel_log_loss": "log_loss",
        "multilabel_report": "report",
        "nan_accuracy_score": "accuracy",
        "nan_average_precision_score": "ranking",
        "nan_balanced_accuracy_score": "accuracy",
        "nan_count_score": "counts",
        "nan_f1_score": "counts",
        "nan_fbeta_score": "counts",
        "nan_jaccard_score": "counts",
        "nan_ndcg_score": "top_k",
        "nan_precision_score": "counts",
        "nan_recall_score": "counts",
        "nan_roc_auc_score": "ranking",
        "precision_at_k": "top_k",
        "recall_at_k": "top_k",
        "resolve_scoring": "scorers",
    },
)
