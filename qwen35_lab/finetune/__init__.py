"""Fine-tuning with LoRA: a few new numbers beside frozen weights, taught, measured, merged and handed on.

    from qwen35_lab import finetune
    tuned = finetune.attach(qwen, parts=("deltanet", "attention", "experts"), rank=8)
    history = finetune.teach_sentences(tuned)
    tuned.merged().save("nano-in-sentences")

`attach` needs peft: `pip install peft`, or the extra "finetune" of this package.
"""

from .adapter import Tuned, attach
from .alphabet import score_alphabet, teach_alphabet, with_new_keys
from .handing_on import adapter_names, save_adapter
from .keeping import kept
from .lessons import Lessons, Load, lesson_loss, lessons, router_loads
from .sentences import in_a_sentence, score_sentences, sentence_lessons, teach_sentences
from .targets import PARTS, Cost, cost, costs, targets

__all__ = [
    "PARTS", "Cost", "Lessons", "Load", "Tuned", "adapter_names", "attach", "cost", "costs", "in_a_sentence", "kept",
    "lesson_loss", "lessons", "router_loads", "save_adapter", "score_alphabet", "score_sentences", "sentence_lessons",
    "targets", "teach_alphabet", "teach_sentences", "with_new_keys",
]  # fmt: skip
