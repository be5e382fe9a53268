# SPDX-License-Identifier: MIT
"""All programs of the matrix, in the order of its table."""
import databases
import runtimes
import stressors
import text
import tools

CASES = text.CASES + runtimes.CASES + databases.CASES + tools.CASES + stressors.CASES
