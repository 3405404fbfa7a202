// SPDX-License-Identifier: Apache-2.0
// The target that precompiles the tests' headers needs a source.
int main() {
    return 0;
}
