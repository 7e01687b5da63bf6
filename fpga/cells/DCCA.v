// SPDX-License-Identifier: Apache-2.0
// Simulation model of the ECP5's buffer onto the global network: passes on what comes in, unless it is disabled.
module DCCA (
  input  CLKI, CE,
  output CLKO
);
  assign CLKO = CLKI && CE;
endmodule
