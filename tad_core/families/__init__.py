"""The model families there are: all that is said of each outside of its module in ``models``; nothing here loads torch.

One entry a family, under the ``model_type`` of its config.json.
"""

from tad_core.families import dream, llada
from tad_core.families.base import Family, Fields, Gguf, Names, Shapes

FAMILIES: dict[str, Family] = {
    "llada": llada.FAMILY,
    "Dream": dream.FAMILY,
}


def family_of(config: Fields) -> Family:
    """The family of a config.json that was checked (``checkpoint.check_model``)."""
    return FAMILIES[config["model_type"]]


__all__ = ["FAMILIES", "Family", "Fields", "Gguf", "Names", "Shapes", "family_of"]
