"""The recall model's tokenizer: one word, one token; saved, it is what transformers' AutoTokenizer loads."""

from typing import Any

from .task import END, IDS, UNKNOWN

CONTEXT = 4096  # tokens; what config.json and the tokenizer allow, not what was trained


def make_tokenizer() -> Any:
    """Words stand between blanks; points and question marks may touch a word.

    A word outside the vocabulary becomes `<unk>`, which `Qwen.encode` refuses by name. There is no chat
    template: the model knows no roles. The class is the general one, not Qwen's own, which takes byte pairs.
    """
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(dict(IDS), unk_token=UNKNOWN))
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.pre_tokenizer = split  # pyright: ignore[reportAttributeAccessIssue]
    specials = [AddedToken(word, special=True, normalized=False) for word in (END, UNKNOWN)]
    tokenizer.add_special_tokens(specials)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,  # keep the blank before a point
        model_max_length=CONTEXT,
    )
