"""Ways to change a model's folder; each takes a folder and a random.Random.

Each returns in words what it did, for the report of what was lost.
"""

from tests.faults.mutations.benign import change_nothing
from tests.faults.mutations.json_files import change_config, change_state
from tests.faults.mutations.links import link
from tests.faults.mutations.planted_code import plant_code
from tests.faults.mutations.sizes import lie_about_sizes
from tests.faults.mutations.tokenizers import change_tokenizer
from tests.faults.mutations.weights import change_weights

MUTATIONS = {
    "config.json": change_config,
    "skbert.json": change_state,
    "weights": change_weights,
    "tokenizer": change_tokenizer,
    "planted code": plant_code,
    "sizes that lie": lie_about_sizes,
    "links": link,
    "benign": change_nothing,
}
