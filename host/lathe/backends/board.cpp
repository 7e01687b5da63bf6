// SPDX-License-Identifier: Apache-2.0
// The Verilated board in process: a cycle loop and the other end of its UART, which sends and receives bytes at the exact baud rate.
// Bytes cross into this file, cycles never leave it. Knows nothing of frames but their flag.
#include <cstdint>
#include <deque>
#include <memory>

#include "Vlathe_board.h"
#include "verilated.h"

namespace {

constexpr uint8_t kFlag = 0x7e, kRunsLed = 1 << 4;

class Board {
 public:
  Board(uint32_t clock_hz, uint32_t baud, uint32_t seed) : clock_hz_(clock_hz), baud_(baud) {
    context_.randReset(2);
    context_.randSeed(static_cast<int>(seed | 1));
    top_ = std::make_unique<Vlathe_board>(&context_);
    top_->clk_i = 0;
    top_->uart_rx_i = 1;
    power_on();
  }

  void power_on() {
    top_->por_ni = 0;
    for (int i = 0; i < 16; ++i) cycle();
    top_->por_ni = 1;
    for (int i = 0; i < 16; ++i) cycle();
    received_.clear();
  }

  void write(const uint8_t* data, uint64_t count) { to_send_.insert(to_send_.end(), data, data + count); }

  // Runs until the board has sent a flag, `room` bytes have come or max_cycles have passed; returns how many bytes came.
  uint64_t read(uint8_t* data, uint64_t room, uint64_t max_cycles) {
    const uint64_t end = cycles_ + max_cycles;
    bool flag = false;
    while (cycles_ < end && !flag && received_.size() < room) {
      const std::size_t before = received_.size();
      cycle();
      flag = received_.size() > before && received_.back() == kFlag;
    }
    uint64_t count = 0;
    for (; count < room && !received_.empty(); received_.pop_front()) data[count++] = received_.front();
    return count;
  }

  uint64_t cycles() const { return cycles_; }

  unsigned leds() const { return top_->led_o; }

  // A program runs or a byte is on its way.
  bool busy() const { return !to_send_.empty() || sending_ || receiving_ || (top_->led_o & kRunsLed); }

 private:
  void cycle() {
    drive();
    top_->clk_i = !top_->clk_i;
    top_->eval();
    ++cycles_;
    sample();
  }

  // The cycle in which bit `bits` + `halves` / 2 of a byte begins that began in cycle `start`.
  uint64_t when(uint64_t start, unsigned bits, unsigned halves = 0) const {
    return start + ((2ull * bits + halves) * clock_hz_ + baud_) / (2ull * baud_);
  }

  void drive() {
    if (!sending_) {
      if (to_send_.empty()) return;
      sending_ = true;
      out_ = 0x200u | to_send_.front() << 1;  // stop bit, data, start bit
      to_send_.pop_front();
      out_bits_ = 0;
      out_start_ = out_next_ = cycles_;
    }
    if (cycles_ < out_next_) return;
    if (out_bits_ == 10) {
      sending_ = false;
      drive();
      return;
    }
    top_->uart_rx_i = out_ >> out_bits_ & 1;
    out_next_ = when(out_start_, ++out_bits_);
  }

  void sample() {
    if (!receiving_) {
      if (top_->uart_tx_o) return;
      receiving_ = true;
      in_ = in_bits_ = 0;
      in_start_ = cycles_;
      in_next_ = when(in_start_, 1, 1);
    }
    if (cycles_ < in_next_) return;
    if (in_bits_ == 8) {
      receiving_ = false;
      if (top_->uart_tx_o) received_.push_back(static_cast<uint8_t>(in_));
      return;
    }
    in_ |= static_cast<unsigned>(top_->uart_tx_o) << in_bits_;
    in_next_ = when(in_start_, ++in_bits_ + 1, 1);
  }

  VerilatedContext context_;
  std::unique_ptr<Vlathe_board> top_;
  const uint64_t clock_hz_, baud_;
  uint64_t cycles_ = 0;
  std::deque<uint8_t> to_send_, received_;
  bool sending_ = false, receiving_ = false;
  unsigned out_ = 0, out_bits_ = 0, in_ = 0, in_bits_ = 0;
  uint64_t out_start_ = 0, out_next_ = 0, in_start_ = 0, in_next_ = 0;
};

Board* board_of(void* board) { return static_cast<Board*>(board); }

}  // namespace

extern "C" {
void* lathe_board_new(uint32_t clock_hz, uint32_t baud, uint32_t seed) { return new Board(clock_hz, baud, seed); }
void lathe_board_free(void* board) { delete board_of(board); }
void lathe_board_power_on(void* board) { board_of(board)->power_on(); }
void lathe_board_write(void* board, const uint8_t* data, uint64_t count) { board_of(board)->write(data, count); }
uint64_t lathe_board_read(void* board, uint8_t* data, uint64_t room, uint64_t max_cycles) {
  return board_of(board)->read(data, room, max_cycles);
}
uint64_t lathe_board_cycles(void* board) { return board_of(board)->cycles(); }
unsigned lathe_board_leds(void* board) { return board_of(board)->leds(); }
int lathe_board_busy(void* board) { return board_of(board)->busy(); }
}
