"""OpenTelemetry: bodies leave as sealed lines, what the log says itself as records of its own."""

import json
import logging
import threading

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tallystick.errors import SealError
from tallystick.integrations.opentelemetry import SealingProcessor
from tests.integrations.test_logging import close_all, place

__all__ = ["place"]


class Pipeline:
    """A provider that exports into memory, and what a verifier makes of that."""

    def __init__(self, place, behind=SimpleLogRecordProcessor, **options):
        self.place, self.exporter = place, InMemoryLogRecordExporter()
        self.provider = LoggerProvider(resource=Resource({"service.name": "shop"}))
        self.processor = SealingProcessor("payments", behind(self.exporter), store=place.store, **options)
        self.provider.add_log_record_processor(self.processor)
        self.logger = self.provider.get_logger("audit")

    def emit(self, body, **more):
        self.logger.emit(LogRecord(body=body, timestamp=1_700_000_000_123_456_789, **more))

    def finish(self):
        """Shut it down; return the records."""
        self.provider.shutdown()
        records = self.exporter.get_finished_logs()
        self.place.output.write_text("".join(f"{each.log_record.body}\n" for each in records))
        return records


def test_the_body_is_the_sealed_line_and_the_rest_stays(place):
    pipeline = Pipeline(place)
    more = {"severity_number": SeverityNumber.WARN, "severity_text": "WARN", "attributes": {"user": 7}}
    pipeline.emit("login", **more)
    records = pipeline.finish()
    (entry,) = place.entries()
    assert json.loads(entry) == {
        "attributes": {"user": 7}, "body": "login", "scope": "audit", "severity": "WARN",
        "time": "2023-11-14T22:13:20.123Z",
    }  # fmt: skip
    mine = [each for each in records if each.instrumentation_scope.name == "audit"]
    assert [(each.log_record.attributes, each.log_record.severity_text) for each in mine] == [({"user": 7}, "WARN")]
    assert place.verify() == ("ok", [])


def test_what_the_log_says_are_records_of_its_own(place):
    pipeline = Pipeline(place)
    pipeline.emit("one")
    records = pipeline.finish()
    scopes = [each.instrumentation_scope.name for each in records]
    assert scopes == ["tallystick", "audit", "tallystick"]
    assert "tallystick/v1 open payments" in records[0].log_record.body
    assert " closed " in records[-1].log_record.body
    assert {each.resource.attributes["service.name"] for each in records[1:]} == {"shop"}


@pytest.mark.parametrize("body", ["text", "two\nlines", "", '{"a":1}', "tally=x", {"a": [1, {"b": None}]}, 7, None])
def test_any_body_is_sealed_alone_where_that_is_asked_for(place, body):
    pipeline = Pipeline(place, seals="body")
    pipeline.emit(body)
    records = pipeline.finish()
    assert [each.instrumentation_scope.name for each in records].count("audit") == 1
    assert len(place.entries()) == 1
    assert place.verify() == ("ok", [])


def test_a_batch_of_many_threads_arrives_whole_and_in_order(place):
    pipeline = Pipeline(place, lambda exporter: BatchLogRecordProcessor(exporter, max_queue_size=20_000))

    def work(number):
        for i in range(400):
            pipeline.emit(f"{number} {i}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipeline.finish()
    found = [tuple(map(int, json.loads(entry)["body"].split())) for entry in place.entries()]
    assert [[i for n, i in found if n == number] for number in range(4)] == [list(range(400))] * 4
    assert place.verify() == ("ok", [])


def test_what_is_behind_may_log_through_the_same_provider(place, caplog):
    pipeline = Pipeline(place)
    export = pipeline.exporter.export

    def talking(batch):
        pipeline.emit("exported")
        return export(batch)

    pipeline.exporter.export = talking
    pipeline.emit("one")
    pipeline.finish()
    bodies = [json.loads(entry)["body"] for entry in place.entries() if entry.startswith(b"{")]
    assert bodies[0] == "one"
    assert len(bodies) < 10
    assert place.verify() == ("ok", [])


def test_a_record_that_cannot_be_sealed_goes_no_further(place, capsys):
    pipeline = Pipeline(place)
    close_all()
    pipeline.emit("late")
    assert all("late" not in each.log_record.body for each in pipeline.exporter.get_finished_logs())
    pipeline.provider.shutdown()
    assert "is closed" in capsys.readouterr().err


def test_trouble_is_raised_where_that_is_asked_for(place):
    logging.getLogger("opentelemetry").disabled = True
    pipeline = Pipeline(place, on_error="raise")
    close_all()
    with pytest.raises(SealError, match="is closed"):
        pipeline.emit("late")
    pipeline.provider.shutdown()
