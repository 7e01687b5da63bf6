# SPDX-License-Identifier: Apache-2.0
"""What every bench shares: the runner, the actors on the pins and the packing of structs."""
