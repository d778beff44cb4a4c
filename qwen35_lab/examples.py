"""A text to begin with, in words that the model knows: two facts, one of them written over, and a question about it.

qwen = lab.load("nano")
qwen.trace(lab.example(qwen))
"""

from .nano.tokenizer import SIZE
from .qwen import Qwen
from .recall import VOCABULARY

RECALL = "cat red . dog blue . cat green . ? cat"
NANO = "Mia likes tea. Tom likes soup. Now Mia likes cake.\nWhat does Mia like?"
ENGLISH = "The cat is red. The dog is blue. Now the cat is green. The colour of the cat is now"


def example(qwen: Qwen) -> str:
    """Ends where the model is to answer. The nano reads it as a turn of its chat; known are models by their vocabulary.

    Raises:
        CheckpointError: there is no tokenizer.
    """
    if len(qwen.tokenizer) == len(VOCABULARY):
        return RECALL
    if len(qwen.tokenizer) <= SIZE:
        return qwen.chat_prompt(NANO)
    return ENGLISH
