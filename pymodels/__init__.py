# SPDX-License-Identifier: Apache-2.0
"""Golden models: every unit bit-exact in numpy, written from docs/numerics.md alone."""
