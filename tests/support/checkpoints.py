"""Tiny random checkpoints, written as the Hugging Face folders that users have.

The tests need every family of encoder but neither a network nor trained weights, so a
model of two layers is drawn at random and its tokenizer is trained on the spot.
"""

import json
import math
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
    family : str
        One of `FAMILIES`. Each has the tokenizer and the configuration of the family's
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

    from skbert.runtime.quiet import quiet_transformers

    folder = Path(folder)
    tokenizer = _make_tokenizer(family, CORPUS if texts is None else texts)
    config = _make_config(family, tokenizer, config_overrides)
    auto_class = AutoModelForSequenceClassification if head else AutoModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto_class.from_config(config)
    with quiet_transformers():
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
    names = _OTHER_NAMES.get(family, {})
    fields = {names.get(name, name): value for name, value in fields.items()}
    fields.pop(None, None)
    model_type = _MODEL_TYPES.get(family, family)
    return AutoConfig.for_model(model_type, **(fields | overrides))


# RoBERTa and its kin count positions from the one after their padding token.
_ROBERTA = {
    "max_position_embeddings": MAX_LENGTH + 2,
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
# The settings of deberta-base, whose attention has relative positions only.
_DEBERTA = {
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["c2p", "p2c"],
}
# What all of version 2 add to it: a norm of the positions, which they count in buckets.
_DEBERTA_V2 = _DEBERTA | {
    "max_relative_positions": -1,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
}
_FAMILY_FIELDS = {
    "bert": {},
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    # A window of 8 neighbours: texts of more tokens than that are padded to twice it.
    "longformer": _ROBERTA | {"attention_window": 8, "sep_token_id": 2},
    "mpnet": {"max_position_embeddings": MAX_LENGTH + 2, "bos_token_id": 0},
    "electra": {"embedding_size": WIDTH // 2},
    # One layer, which runs as often as there would be layers.
    "albert": {"embedding_size": WIDTH // 2, "bos_token_id": 2, "eos_token_id": 3},
    "deberta": _DEBERTA,
    # deberta-v2-xlarge has a convolution above its first layer, v3 has none.
    "deberta-v2": _DEBERTA_V2 | {"conv_kernel_size": 3, "conv_act": "gelu"},
    "deberta-v3": _DEBERTA_V2,
    "distilbert": {},
    # Its first layer sees all of a text, the second 8 neighbours.
    "modernbert": {
        "local_attention": 8,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": 2,
        "eos_token_id": 3,
    },
    "xlnet": {"bos_token_id": 1, "eos_token_id": 2},
    # Its table of positions has one row for each hash bucket: no fewer than positions.
    "canine": {"num_hash_buckets": CANINE_MAX_LENGTH, "downsampling_rate": 4},
}
FAMILIES = tuple(_FAMILY_FIELDS)
_MODEL_TYPES = {"deberta-v3": "deberta-v2"}
_OTHER_NAMES = {
    "distilbert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    },
    "xlnet": {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "d_inner",
        "max_position_embeddings": None,  # it has no limit
    },
}


def _make_tokenizer(family, texts):
    import transformers

    if family == "canine":
        return transformers.CanineTokenizer(model_max_length=CANINE_MAX_LENGTH)
    name, choose, specials = _TOKENIZERS[family]
    arguments = choose(texts, specials)
    if family == "mpnet":
        # As published: its words of BERT have BERT's unknown token among them.
        arguments["unk_token"] = "[UNK]"
    return getattr(transformers, name)(**arguments, model_max_length=MAX_LENGTH)


def _choose_word_pieces(texts, special_tokens):
    # The library's own trainer breaks ties at random, so that two runs of the tests
    # would see different tokens: whole words and single letters do as well here.
    from tokenizers import normalizers, pre_tokenizers

    normalize = normalizers.BertNormalizer(lowercase=True).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = Counter(word for text in texts for word, _ in split(normalize(text)))
    letters = sorted(set("".join(words)))
    pieces = [*special_tokens, *letters, *("##" + letter for letter in letters)]
    pieces += [word for word, _ in words.most_common() if len(word) > 1]
    return {"vocab": {piece: i for i, piece in enumerate(pieces[:VOCABULARY_SIZE])}}


def _choose_unigrams(texts, special_tokens):
    """Choose the vocabulary of a sentencepiece model: pieces and log-probabilities."""
    # Words and letters for the reason above; lower case ones, too, for ALBERT.
    words = Counter(
        "▁" + word for text in texts for word in (text + " " + text.lower()).split()
    )
    letters = Counter(letter for word in words.elements() for letter in word)
    total = letters.total()
    scored = [(letter, math.log(n / total)) for letter, n in sorted(letters.items())]
    scored += [(word, math.log(n / total)) for word, n in words.most_common()]
    return {"vocab": [*((token, 0.0) for token in special_tokens), *scored]}


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


def _choose_modern_byte_pairs(texts, special_tokens):
    """ModernBERT's tokenizer has no class of its own: all is in its file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.BPE(**_train_byte_pairs(texts, special_tokens)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    names = {
        f"{name}_token": f"[{name.upper()}]"
        for name in ("pad", "unk", "cls", "sep", "mask")
    }
    inputs = ["input_ids", "attention_mask"]
    return {"tokenizer_object": tokenizer, "model_input_names": inputs} | names


# The class, the way to its vocabulary, and its special tokens: their order gives their
# ids. 1 is what RoBERTa's positions expect for padding.
_BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_DEBERTA_V2_TOKENIZER = (
    "DebertaV2Tokenizer",
    _choose_unigrams,
    ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
)
_TOKENIZERS = {
    "bert": ("BertTokenizer", _choose_word_pieces, _BERT_TOKENS),
    "electra": ("BertTokenizer", _choose_word_pieces, _BERT_TOKENS),
    "distilbert": ("DistilBertTokenizer", _choose_word_pieces, _BERT_TOKENS),
    "mpnet": (
        "MPNetTokenizer",
        _choose_word_pieces,
        ["<s>", "<pad>", "</s>", "<mask>", "[UNK]"],
    ),
    "roberta": ("RobertaTokenizer", _train_byte_pairs, _ROBERTA_TOKENS),
    "longformer": ("RobertaTokenizer", _train_byte_pairs, _ROBERTA_TOKENS),
    "deberta": (
        "DebertaTokenizer",
        _train_byte_pairs,
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
    ),
    "modernbert": ("PreTrainedTokenizerFast", _choose_modern_byte_pairs, _BERT_TOKENS),
    "xlm-roberta": ("XLMRobertaTokenizer", _choose_unigrams, _ROBERTA_TOKENS),
    "deberta-v2": _DEBERTA_V2_TOKENIZER,
    "deberta-v3": _DEBERTA_V2_TOKENIZER,
    "albert": (
        "AlbertTokenizer",
        _choose_unigrams,
        ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"],
    ),
    "xlnet": (
        "XLNetTokenizer",
        _choose_unigrams,
        ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"],
    ),
}


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
