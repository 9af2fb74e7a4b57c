"""Tiny random checkpoints, written as the Hugging Face folders that users have.

The tests need every family of encoder but neither a network nor trained weights, so a
model of two layers is drawn at random and its tokenizer is trained on the spot.
"""

import json
from collections import Counter
from pathlib import Path

N_LAYERS = 2
WIDTH = 32
MAX_LENGTH = 64  # positions that a text may fill, its special tokens included
CANINE_MAX_LENGTH = 512  # characters, so about as many words as MAX_LENGTH tokens
VOCABULARY_SIZE = 320  # a wish: byte-level vocabularies add their 256 bytes to it

# Invented sentences. Those that signal a label of the `emails` fixture are among them,
# so that its words become tokens of their own rather than a row of letters.
CORPUS = (
    "The invoice for March is attached, please arrange the payment.",
    "We have not received the refund for our last invoice.",
    "Your payment of 120 euros was booked twice, a refund will follow.",
    "The application crashes with an error as soon as it starts.",
    "After the update the screen shows an error and then a crash.",
    "Please send us the log of the crash, we will repair the error.",
    "Could we move the meeting to Thursday afternoon?",
    "The meeting is in the calendar, the schedule is below.",
    "Please confirm the schedule before you book the calendar.",
    "Thank you for your message, I will answer it tomorrow.",
    "Dear Anna, I hope that you are well.",
    "Kind regards from all of us at the office.",
    "Hello again, this is only a short note.",
    "The weather was fine and the garden is green.",
    "I have read your letter and I agree with every word of it.",
    "Let us know what you think about the new colours.",
    "Is there anything else that we can do for you today?",
    "My colleague will call you back in the morning.",
    "I am writing to apply for the position that you advertised.",
    "My curriculum vitae is attached, I can start in June.",
)


def make_checkpoint(
    family,
    folder,
    *,
    texts=None,
    head=False,
    sentence_transformers=False,
    seed=0,
    **config_overrides,
):
    """Write a tiny random model and its tokenizer into a folder.

    Parameters
    ----------
    family : {"bert", "roberta", "deberta", "distilbert", "canine"}
        The architecture. Each has the tokenizer and the configuration of the family's
        published checkpoints, except that everything is small.
    folder : str or Path
        Where to write; it is made where it does not exist.
    texts : sequence of str, default=None
        What the tokenizer is trained on, `CORPUS` by default. CANINE needs no training.
    head : bool, default=False
        Write a sequence classifier rather than the bare encoder. Give `num_labels`, and
        `problem_type` or `id2label` where they matter, among the overrides.
    sentence_transformers : bool, default=False
        Add the files by which sentence-transformers says that it pools by the mean.
    seed : int, default=0
        Fixes the weights. The global random state is left as it was.
    **config_overrides
        Fields of the configuration.

    Returns
    -------
    Path
        The folder.
    """
    # Imported here because most test modules never ask for a checkpoint.
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    folder = Path(folder)
    tokenizer = _make_tokenizer(family, CORPUS if texts is None else texts)
    config = _make_config(family, tokenizer, config_overrides)
    auto_class = AutoModelForSequenceClassification if head else AutoModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto_class.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if sentence_transformers:
        _add_mean_pooling(folder, config.hidden_size)
    return folder


def _make_config(family, tokenizer, overrides):
    from transformers import AutoConfig

    fields = {
        "hidden_size": WIDTH,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": tokenizer.model_max_length,
        "pad_token_id": tokenizer.pad_token_id,
        # The usual 0.02 suits a width of 768. At 32 it would give all texts nearly the
        # same logits, and a test that two of them agree could hardly fail.
        "initializer_range": 0.1,
    }
    if family != "canine":
        fields["vocab_size"] = len(tokenizer)
    fields |= _FAMILY_FIELDS[family]
    # DistilBERT has other names for the common fields.
    names = _DISTILBERT_NAMES if family == "distilbert" else {}
    fields = {names.get(name, name): value for name, value in fields.items()}
    return AutoConfig.for_model(family, **(fields | overrides))


_FAMILY_FIELDS = {
    "bert": {},
    # RoBERTa counts positions from the one after its padding token.
    "roberta": {
        "max_position_embeddings": MAX_LENGTH + 2,
        "type_vocab_size": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    # The settings of deberta-base, whose attention has relative positions only.
    "deberta": {
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["c2p", "p2c"],
    },
    "distilbert": {},
    # Its table of positions has one row for each hash bucket: no fewer than positions.
    "canine": {"num_hash_buckets": CANINE_MAX_LENGTH, "downsampling_rate": 4},
}
_DISTILBERT_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
}


def _make_tokenizer(family, texts):
    import transformers

    if family == "canine":
        return transformers.CanineTokenizer(model_max_length=CANINE_MAX_LENGTH)
    if family in ("bert", "distilbert"):
        name = "BertTokenizer" if family == "bert" else "DistilBertTokenizer"
        arguments = {"vocab": _choose_word_pieces(texts)}
    elif family == "roberta":
        # The order gives the ids, and 1 is what RoBERTa's positions expect for padding.
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        name, arguments = "RobertaTokenizer", _train_byte_pairs(texts, specials)
    elif family == "deberta":
        specials = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
        name, arguments = "DebertaTokenizer", _train_byte_pairs(texts, specials)
    else:
        raise ValueError(f"no recipe for the family {family!r}")
    return getattr(transformers, name)(**arguments, model_max_length=MAX_LENGTH)


def _choose_word_pieces(texts):
    # The library's own trainer breaks ties at random, so that two runs of the tests
    # would see different tokens: whole words and single letters do as well here.
    from tokenizers import normalizers, pre_tokenizers

    normalize = normalizers.BertNormalizer(lowercase=True).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = Counter(word for text in texts for word, _ in split(normalize(text)))
    letters = sorted(set("".join(words)))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += letters + ["##" + letter for letter in letters]
    pieces += [word for word, _ in words.most_common() if len(word) > 1]
    return {piece: i for i, piece in enumerate(pieces[:VOCABULARY_SIZE])}


def _train_byte_pairs(texts, special_tokens):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE + 256,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in trained["merges"]]
    return {"vocab": trained["vocab"], "merges": merges}


def _add_mean_pooling(folder, width):
    # The files and the names in them are those of all-MiniLM-L6-v2.
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "Pooling"},
    ]
    for module in modules:
        module["type"] = "sentence_transformers.models." + module["type"]
    pooling = {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    (folder / "1_Pooling").mkdir(exist_ok=True)
    for name, content in {
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {
            "max_seq_length": MAX_LENGTH,
            "do_lower_case": False,
        },
    }.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
