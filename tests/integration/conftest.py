# SPDX-License-Identifier: BSD-2-Clause
"""The fixtures are those of fixtures.py, which the conformance tests use too."""

from fixtures import *  # noqa: F403
