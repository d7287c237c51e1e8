"""[state.verify]: what asks the model whether its attempt is right, and how its word is read. arXiv 2506.10406, 2506.06923."""

from __future__ import annotations

from pydantic import Field, model_validator

from rise.policy import Sampling
from rise.recipe.settings import Settings
from rise.trajectory import Verdict


class VerifyConfig(Settings):
    """The model says of each attempt whether it is right, in a word, before it revises it; a run ends when it says right
    (docs/beyond.md)."""

    ask: str = "Is your answer above right? Reply with one word, yes or no."
    """What is asked after an attempt; `{attempt}` stands for the number of that attempt among those shown."""
    right: str = "yes"
    """The word for right: what is trained after right attempts, and what ends a run."""
    wrong: str = "no"
    """The word for wrong: what is trained after all others."""
    max_new_tokens: int = Field(16, ge=1)
    """Longest reply to the question; its first word counts. Unit: tokens."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> VerifyConfig:
        right, wrong = self.right.strip().casefold(), self.wrong.strip().casefold()
        if not right or not wrong or right.startswith(wrong) or wrong.startswith(right):
            raise ValueError(
                f'state.verify.right = "{self.right}" and state.verify.wrong = "{self.wrong}": a reply is read by how it begins, '
                "so neither word may begin the other, or be empty"
            )
        if not self.ask.strip():
            raise ValueError("state.verify.ask is empty, so nothing would be asked")
        return self

    @property
    def sampling(self) -> Sampling:
        """The most probable word, however attempts are drawn: it decides, and is no sample."""
        return Sampling(temperature=0.0, top_p=1.0, max_new_tokens=self.max_new_tokens)

    def read(self, reply: str) -> Verdict:
        """What a reply says of the attempt: by the word it begins with, capitals aside; unparsable where it is neither.

        >>> [VerifyConfig().read(text).value for text in ("Yes.", "no, 7 * 8 is 56", "Not sure", "yesterday")]
        ['right', 'wrong', 'unparsable', 'unparsable']
        """
        said = reply.strip().casefold()
        for word, verdict in ((self.right, Verdict.RIGHT), (self.wrong, Verdict.WRONG)):
            begins = said.removeprefix(word.strip().casefold())
            if begins != said and not begins[:1].isalnum():
                return verdict
        return Verdict.UNPARSABLE
