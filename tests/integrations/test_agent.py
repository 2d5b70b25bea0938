"""Handlers that send to an agent: the same records as those that seal, acknowledged by `flush`."""

import asyncio
import json
import logging
import threading
import time

import pytest

from tallystick.errors import OutputError, SealError
from tallystick.integrations.logging import AgentHandler, JSONFormatter, PlainFormatter
from tests.agent.client import entries
from tests.agent.conftest import agents

__all__ = ["agents"]  # a fixture


@pytest.fixture
def logger():
    made = logging.Logger("audit.test", logging.INFO)
    yield made
    for handler in made.handlers:
        handler.close()


def sending(agent, logger, formatter=None, **options):
    handler = AgentHandler(f"unix:{agent.path}", **options)
    if formatter is not None:
        handler.setFormatter(formatter)
    logger.addHandler(handler)
    return handler


def test_records_are_in_the_log_when_flush_returns(site, agents, logger):
    agent = agents().listening()
    handler = sending(agent, logger)
    logger.info("user=%d", 7)
    logger.info("two\nlines \x1b[31m")
    logger.debug("below the level")
    handler.flush()
    assert [line[24:] for line in entries(site)] == [
        b" INFO audit.test user=7", b" INFO audit.test two\\nlines \\x1b[31m"
    ]  # fmt: skip
    handler.setFormatter(JSONFormatter())
    logger.warning("login", extra={"user": 7})
    handler.flush()
    assert json.loads(entries(site)[-1])["user"] == 7


def test_threads_and_tasks_share_a_handler(site, agents, logger):
    agent = agents().listening()
    handler = sending(agent, logger, logging.Formatter("%(message)s"))

    def work(name):
        for number in range(500):
            logger.info("%s %d", name, number)

    async def task(name):
        for number in range(500):
            logger.info("%s %d", name, number)
            await asyncio.sleep(0)

    async def tasks():
        await asyncio.gather(*(task(f"task{each}") for each in range(4)))

    threads = [threading.Thread(target=work, args=(f"thread{each}",)) for each in range(4)]
    for each in threads:
        each.start()
    asyncio.run(tasks())
    for each in threads:
        each.join()
    handler.flush()
    found = entries(site)
    assert len(found) == 4000
    for kind in (b"task", b"thread"):
        for each in range(4):
            name = b"%s%d " % (kind, each)
            assert [line for line in found if line.startswith(name)] == [name + b"%d" % n for n in range(500)]


def test_trouble_is_reported_on_standard_error_and_flush_raises(agents, logger, capfd):
    agent = agents()
    agent.kill()
    handler = sending(agent, logger)
    logger.info("one")
    with pytest.raises(SealError, match="has not acknowledged"):
        handler.flush(0.2)
    agent = agents().listening()
    handler.flush()
    handler.close()
    assert f"tallystick: the agent at unix:{agent.path} cannot be reached: " in capfd.readouterr().err


def test_a_full_buffer_raises_in_the_program_if_that_was_asked(agents, logger):
    agent = agents()
    agent.kill()
    sending(agent, logger, capacity=2, on_full="raise")
    logger.info("one")
    logger.info("two")
    with pytest.raises(OutputError, match="2 wait"):
        logger.info("three")
    agents().listening()


def test_the_loggers_of_others_send_as_well(site, agents):
    structlog, loguru = pytest.importorskip("structlog"), pytest.importorskip("loguru")
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider

    from tallystick.integrations.loguru import AgentSink
    from tallystick.integrations.opentelemetry import AgentProcessor
    from tallystick.integrations.structlog import AgentLoggerFactory, render_canonical

    agent = agents().listening()
    address = f"unix:{agent.path}"
    factory = AgentLoggerFactory(address)
    structlog.wrap_logger(factory(), processors=[render_canonical]).info("login", user=7)
    factory.handler.flush()
    number = loguru.logger.add(AgentSink(address), format="{level} {message}")
    loguru.logger.warning("logout")
    loguru.logger.remove(number)
    provider, processor = LoggerProvider(), AgentProcessor(address)
    provider.add_log_record_processor(processor)
    provider.get_logger("shop").emit(LogRecord(body="payment", attributes={"amount": 7}))
    assert processor.force_flush()
    provider.shutdown()
    factory.close()
    structured, plain, record = entries(site)
    assert (json.loads(structured), plain) == ({"event": "login", "user": 7}, b"WARNING logout")
    fields = json.loads(record)
    assert fields.pop("time").endswith("Z")
    assert fields == {"attributes": {"amount": 7}, "body": "payment", "scope": "shop"}


@pytest.mark.alone
def test_a_call_costs_little_more_than_that_of_a_file_handler(tmp_path, agents, logger):
    agent = agents().listening()
    handler, plain = sending(agent, logger), logging.FileHandler(tmp_path / "plain.log")
    plain.setFormatter(PlainFormatter())

    def seconds(one):
        logger.handlers = [one]
        began = time.process_time()  # the thread that sends counts as well
        for _ in range(4000):
            logger.info("user=%d action=transfer amount=%d from=%s", 7, 100, "x" * 120)
        return time.process_time() - began

    seconds(handler)
    rounds = []
    for _ in range(25):
        rounds.append((seconds(handler), seconds(plain)))
        handler.flush()
    plain.close()
    logger.handlers = [handler]
    # Measured: 1.1 on an idle machine, and 1.73 beside other work; `make bench` holds the handler to its bound.
    assert min(one for one, _ in rounds) < 2.5 * min(other for _, other in rounds), rounds
