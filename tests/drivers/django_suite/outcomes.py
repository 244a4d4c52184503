"""Runs Django's tests as Django does, and writes down what became of each."""

import json
import os
import unittest
from pathlib import Path
from typing import Any

from django.test import TransactionTestCase
from django.test.runner import DiscoverRunner, iter_test_cases


class Outcomes(unittest.TextTestResult):
    """What became of each test, by its id. What failed once is not repaired by what comes after it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: dict[str, str] = {}

    def see(self, test: unittest.TestCase, outcome: str) -> None:
        if self.seen.get(test.id()) != "failed":
            self.seen[test.id()] = outcome

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.see(test, "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.see(test, "failed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.see(test, "failed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.see(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.see(test, "failed as Django expects")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self.see(test, "passed against expectation")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.see(test, "failed")


class Runner(DiscoverRunner):
    """Django's own, which besides writes the outcomes to $PGWEIR_TEST_OUTCOMES."""

    def get_resultclass(self) -> type[Outcomes]:
        return Outcomes

    def run_suite(self, suite: unittest.TestSuite, **kwargs: Any) -> Outcomes:
        with_database = sum(isinstance(test, TransactionTestCase) for test in iter_test_cases(suite))
        result = super().run_suite(suite, **kwargs)
        report = {"with_database": with_database, "outcomes": result.seen}
        Path(os.environ["PGWEIR_TEST_OUTCOMES"]).write_text(json.dumps(report))
        return result
