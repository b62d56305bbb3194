"""Outages in the logger "forebay": one warning when one begins, one line when it is over."""

import logging

logger = logging.getLogger("forebay")


def report(event, text):
    logger.log(logging.INFO if event == "daemon_back" else logging.WARNING, "%s", text)
