# SPDX-License-Identifier: Apache-2.0
"""Real Linux guests, and the vhost-user back-ends they are tried against, for tests, benchmarks and the demo."""
