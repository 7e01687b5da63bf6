// SPDX-License-Identifier: Apache-2.0
// The code that protects scratchpad words: an odd-weight-column code (Hsiao, 1970), single errors corrected, double ones detected.
// Check bit j is the parity of the data bits whose columns have bit j; docs/architecture.md, "Faults", says which columns.
package lathe_secded_pkg;
  localparam int unsigned MaxWidth = 256;  // data bits
  localparam int unsigned MaxChecks = 10;

  // Check bits of a word of that many data bits, 64, 128 or 256.
  function automatic int unsigned checks_of(int unsigned width);
    return $clog2(width) + 2;
  endfunction

  typedef logic [MaxWidth-1:0][MaxChecks-1:0] columns_t;  // of each data bit the check bits that it enters

  // Columns of three ones, then of five. Of each kind those that are the smallest of their rotations, in ascending order,
  // each followed by its rotations to the left: so the parities have nearly the same number of inputs.
  function automatic columns_t columns_of(int unsigned width);
    columns_t columns;
    int unsigned checks, count, turned;
    bit smallest;
    columns = '0;
    checks = checks_of(width);
    count = 0;
    for (int unsigned ones = 3; ones <= 5; ones += 2) begin
      for (int unsigned first = 0; first < 1 << checks && count < width; first++) begin
        if ($countones(first) == ones) begin
          smallest = 1'b1;
          turned = first;
          for (int unsigned i = 1; i < checks; i++) begin
            turned = (turned << 1 | turned >> (checks - 1)) & ((1 << checks) - 1);
            if (turned < first) smallest = 1'b0;
          end
          turned = first;
          for (int unsigned i = 0; i < checks && smallest && count < width && (i == 0 || turned != first); i++) begin
            columns[count] = MaxChecks'(turned);
            count++;
            turned = (turned << 1 | turned >> (checks - 1)) & ((1 << checks) - 1);
          end
        end
      end
    end
    return columns;
  endfunction
endpackage
