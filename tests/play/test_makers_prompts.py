"""Prompts id by id as the makers' own code writes them: Mistral's package, and Meta's formats from their documentation.

The vocabulary is a real one, Mistral's first, which the package carries; Llama-2's is cut the same way (SentencePiece).
"""

import json
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from rise.errors import ModelError
from rise.play.render import Renderer
from rise.trajectory import Message

TEXTS = [
    "How many apples are left?",
    "  white space before and behind \n",
    "\nlines\n\nof text\r\nand\ttabs",
    "def f(x):\n    return x ** 2  # two",
    "été, 日本, 🍏 and 👩‍👩‍👧",
    "In HTML, is <s>12</s> struck out? And [INST] or <unk> or <<SYS>>?",
]

METASPACE = {"type": "Metaspace", "replacement": "▁", "split": False}
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
KINDS = {  # one vocabulary as four versions and files of transformers' tokenizers cut it
    "legacy": ({**METASPACE, "prepend_scheme": "always"}, None),
    "not legacy": ({**METASPACE, "prepend_scheme": "first"}, None),
    "as tokenizer.json has it": (
        None,
        {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, SPACES]},
    ),
    "no space of its own": (None, SPACES),
}


EACH_KIND = pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] if kind in ("not legacy", "no space of its own") else []) for kind in KINDS],
)


@pytest.fixture(scope="module")
def pieces():
    """Mistral's first vocabulary, as SentencePiece reads it."""
    package = pytest.importorskip("mistral_common", reason="pip install 'mistral-common[sentencepiece]'")
    sentencepiece = pytest.importorskip("sentencepiece")
    return sentencepiece.SentencePieceProcessor(str(Path(package.__file__).parent / "data" / "tokenizer.model.v1"))


@pytest.fixture(scope="module")
def described(pieces):
    """The same for `tokenizers`: byte pairs, merged in the order of their scores."""
    scores = {pieces.id_to_piece(i): pieces.get_score(i) for i in range(len(pieces))}
    vocabulary = {piece: i for i, piece in enumerate(scores)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in sorted(vocabulary, key=lambda piece: (-scores[piece], vocabulary[piece]))
        if vocabulary[piece] > 258
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": piece, **flags} for i, piece in enumerate(("<unk>", "<s>", "</s>"))],
        "model": {
            "type": "BPE",
            "vocab": vocabulary,
            "merges": merges,
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
    }


def renderer_of(described, kind, chat_format):
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    pre_tokenizer, normalizer = KINDS[kind]
    core = Tokenizer.from_str(json.dumps({**described, "pre_tokenizer": pre_tokenizer, "normalizer": normalizer}))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    return Renderer(tokenizer, chat_format=chat_format)


def talks():
    """Conversations that end with a question, with and without system texts; replies are stripped, as ours are."""
    for first, second in product(TEXTS, TEXTS):
        asked = Message("user", first)
        again = [Message("assistant", second.strip()), Message("user", second)]
        yield [asked]
        yield [asked, *again]
        yield [Message("system", second), asked, *again, Message("assistant", "5"), Message("user", first)]


@cache
def mistrals():
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    return MistralTokenizer.v1().instruct_tokenizer


def by_mistral(talk):
    """Mistral-7B-Instruct v0.1 and v0.2, by mistral-common."""
    from mistral_common.protocol.instruct import messages
    from mistral_common.protocol.instruct.request import InstructRequest

    kinds = {"user": messages.UserMessage, "assistant": messages.AssistantMessage}
    system = talk[0].content if talk[0].role == "system" else None
    said = [kinds[m.role](content=m.content) for m in talk if m.role != "system"]
    return mistrals().encode_instruct(InstructRequest(messages=said, system_prompt=system)).tokens


def by_meta_2(pieces, talk):
    """Llama-2-chat: `chat_completion` of Meta's generation.py."""
    said = [m.content for m in talk]
    if talk[0].role == "system":
        said = [f"<<SYS>>\n{said[0]}\n<</SYS>>\n\n{said[1]}", *said[2:]]
    ids = []
    for question, answer in zip(said[::2], said[1::2], strict=False):
        pair = f"[INST] {question.strip()} [/INST] {answer.strip()} "
        ids += [pieces.bos_id(), *pieces.encode(pair), pieces.eos_id()]
    return [*ids, pieces.bos_id(), *pieces.encode(f"[INST] {said[-1].strip()} [/INST]")]


@EACH_KIND
def test_mistral_reads_what_its_makers_showed_it(kind, described):
    renderer = renderer_of(described, kind, "mistral")
    for talk in talks():
        assert list(renderer.prompt_ids(talk)) == by_mistral(talk), talk


@EACH_KIND
def test_llama_2_reads_what_its_makers_showed_it(kind, described, pieces):
    renderer = renderer_of(described, kind, "llama-2")
    for talk in talks():
        assert list(renderer.prompt_ids(talk)) == by_meta_2(pieces, talk), talk


@EACH_KIND
@pytest.mark.parametrize("chat_format", ["mistral", "llama-2"])
def test_a_reply_is_trained_as_its_makers_trained_it(kind, chat_format, described, pieces):
    renderer = renderer_of(described, kind, chat_format)
    for talk in talks():
        if talk[-2:-1] and talk[-2].role == "assistant":
            *state, reply, _ = talk
            whole = by_mistral(talk) if chat_format == "mistral" else by_meta_2(pieces, talk)
            ours = [*renderer.prompt_ids(state), *renderer.reply_ids(state, reply.content)]
            assert whole[: len(ours)] == ours, talk


LLAMA_3_WORDS = (  # Meta's tokenizer.py of Llama 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def test_llama_3_reads_what_its_makers_showed_it():
    """`ChatFormat` of Meta's tokenizer.py: header, a blank line, the stripped message, each cut by itself, and marks as ids."""
    from families import byte_level
    from tokenizers import Regex, pre_tokenizers

    marks = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = byte_level(marks, bos=marks[0], eos=marks[1])
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    begin, _, header, after, end = (tokenizer.convert_tokens_to_ids(mark) for mark in marks)
    renderer = Renderer(tokenizer, chat_format="llama-3")

    def cut(text):
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def written(role):
        return [header, *cut(role), after, *cut("\n\n")]

    for talk in talks():
        talk = [Message(m.role, m.content.replace("<s>", "<|eot_id|>")) for m in talk]
        makers = [begin]
        for message in talk:
            makers += [*written(message.role), *cut(message.content.strip()), end]
        assert list(renderer.prompt_ids(talk)) == makers + written("assistant"), talk


def test_a_vocabulary_with_instruction_tokens_is_not_spelt_out():
    from families import sentencepiece_like

    tokenizer = sentencepiece_like()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]", "[/INST]"]})
    with pytest.raises(ModelError, match=r'chat_format = "mistral" spells \[INST\] out in letters.*its own template'):
        Renderer(tokenizer, chat_format="mistral")
