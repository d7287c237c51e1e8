"""Whether a reply is right. Change it to fit your problems; `rise judge` tries it on replies in a file."""

from rise.judge import Judgement
from rise.trajectory import Verdict


class Judge:
    """The last line of a reply is its answer, and letters in capitals count as small ones."""

    def judge(self, problem, reply):
        """`problem.gold` is the right answer. `Verdict.UNPARSABLE` is for a reply that holds none: it does not vote."""
        answer = self.answer(reply)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        return Judgement(Verdict.RIGHT if self.same(answer, problem.gold) else Verdict.WRONG, answer)

    def same(self, left, right):
        """Whether two answers say the same: how votes are counted."""
        return left.casefold().split() == right.casefold().split()

    def answer(self, reply):
        """The answer in a reply, without knowing the problem; None where there is none."""
        lines = reply.strip().splitlines()
        return lines[-1].strip(" .") or None if lines else None
