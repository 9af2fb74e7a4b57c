"""Code and pickles, planted wherever a loader might run or read them."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from tests.faults.mutations.json_files import read, write
from tests.faults.mutations.tokenizers import CLASSES
from tests.faults.mutations.weights import unpack


class RunsCode:
    """Makes a file beside the folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def plant_code(folder, rng):
    """Plant code that makes a file beside the folder when it is run."""
    marker = folder.parent / "ran"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    code += "from transformers import BertConfig as C, BertModel as M\n"
    code += "from transformers import BertTokenizer as T\n"
    for name in ("x.py", "__init__.py", "modeling.py", "custom_generate/generate.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    harm = pickle.dumps(RunsCode(marker))
    way = rng.choice(list(_CODE_WAYS))
    _CODE_WAYS[way](folder, rng, harm)
    return f"code: {way}"


def _map_code(folder, rng, harm):
    reference = rng.choice(
        ["x.C", "modeling.M", "someone/model--x.M", "../x.M", "os.system"]
    )
    names = ["AutoConfig", "AutoModel", "AutoModelForSequenceClassification"]
    code = dict.fromkeys(names, reference)
    content = read(folder / "config.json") | {"auto_map": code}
    if rng.random() < 0.3:
        content["model_type"] = rng.choice(["x", None, "timm_wrapper", "rag", "clip"])
    write(folder / "config.json", content)
    tokens = [reference, reference]
    settings = {
        "auto_map": rng.choice([{"AutoTokenizer": tokens}, tokens, {}, "x", None])
    }
    path = folder / "tokenizer_config.json"
    write(path, read(path) | settings)


def _pickled_weights(folder, rng, harm):
    name = rng.choice(["model.safetensors", "head.safetensors", "tokenizer.json"])
    if rng.random() < 0.5:
        (folder / name).write_bytes(harm)
    else:
        torch.save({"x": RunsCode(folder.parent / "ran")}, folder / name)


def _pickle_instead(folder, rng, harm):
    (folder / "model.safetensors").unlink()
    name = rng.choice(["pytorch_model.bin", "model.bin", "adapter_model.bin", "x.pt"])
    (folder / name).write_bytes(harm)


def _pickle_named(folder, rng, harm):
    name = rng.choice(["adapter_model.bin", "pytorch_model.bin", "../x.safetensors"])
    (folder / name).write_bytes(harm)
    field = rng.choice(["transformers_weights", "weights_name", "_name_or_path"])
    write(folder / "config.json", read(folder / "config.json") | {field: name})


def _pickle_in_index(folder, rng, harm):
    names = [
        name for name in unpack(folder / "model.safetensors")[0] if name[:2] != "__"
    ]
    (folder / "model.safetensors").unlink()
    for place in (folder, folder.parent):
        (place / "pytorch_model.bin").write_bytes(harm)
    target = rng.choice(
        ["pytorch_model.bin", "../pytorch_model.bin", "x.safetensors/.."]
    )
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, target)}
    write(folder / "model.safetensors.index.json", index)
    (folder / "model-00001-of-00001.safetensors").write_bytes(harm)


def _adapter(folder, rng, harm):
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "someone/model"}
    adapter["auto_mapping"] = {"parent_library": "x", "base_model_class": "M"}
    write(folder / "adapter_config.json", adapter)
    (folder / "adapter_model.bin").write_bytes(harm)


def _distributed(folder, rng, harm):
    (folder / ".metadata").write_bytes(harm)
    name = "shard-00001-model-00001-of-00001.safetensors"
    (folder / name).write_bytes(rng.choice([harm, b""]))


def _templates(folder, rng, harm):
    template = (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**9) %}"
    )
    path = folder / "tokenizer_config.json"
    write(path, read(path) | {"chat_template": template})
    (folder / "chat_template.jinja").write_text(template)
    (folder / "generation_config.json").write_bytes(harm)


def _fields(folder, rng, harm):
    fields = {
        "quantization_config": rng.choice(
            [{"quant_method": "bitsandbytes"}, {"quant_method": "quanto"}, 3, {}]
        ),
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel:forward",
        "fusion_config": {"patch_embeddings": True},
        "kernel_config": {"RMSNorm": "someone/kernel"},
        "use_pretrained_backbone": True,
        "backbone": "someone/model",
        "configuration_files": ["../x.json", "config.99.json"],
        "torch_dtype": rng.choice(["float16", "os.system", "load"]),
        "tokenizer_class": rng.choice(CLASSES),
        "return_dict": False,
        "chunk_size_feed_forward": 3,
    }
    chosen = rng.sample(list(fields), 2)
    content = read(folder / "config.json") | {name: fields[name] for name in chosen}
    write(folder / "config.json", content)


_CODE_WAYS = {
    "auto_map": _map_code,
    "a pickle renamed": _pickled_weights,
    "a pickle instead": _pickle_instead,
    "a pickle that the config names": _pickle_named,
    "a pickle that the index names": _pickle_in_index,
    "an adapter": _adapter,
    "a distributed checkpoint": _distributed,
    "templates": _templates,
    "fields": _fields,
}
