import pytest

from svc_core.errors import BadInput, ConfigError, Conflict, Transient
from svc_core.storage.retries import Budget, persist


class Failing:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def same(error: Exception):
    return error


def test_what_can_pass_is_tried_again():
    request = Failing(Transient("1"), Transient("2"))
    assert persist(request, same, Budget(5, 60)) == "answer"
    assert request.calls == 3


@pytest.mark.parametrize("error", [Conflict("x"), BadInput("x"), ConfigError("x")])
def test_an_answer_is_not_asked_for_again(error):
    request = Failing(error)
    with pytest.raises(type(error)):
        persist(request, same, Budget(5, 60))
    assert request.calls == 1


@pytest.mark.parametrize(("budget", "calls"), [(Budget(3, 60), 3), (Budget(1, 60), 1), (Budget(9, 0), 1)])
def test_a_budget_of_attempts_and_of_time_ends_it(budget, calls):
    request = Failing(*(Transient(str(number)) for number in range(20)))
    with pytest.raises(Transient):
        persist(request, same, budget)
    assert request.calls == calls
