// SPDX-License-Identifier: Apache-2.0
// The Verilated chip in process: a cycle loop with an AXI4-Lite host and an AXI4 memory around it.
// Transactions cross into this file, cycles never leave it. Not a timing model of any real memory.
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vlathe.h"
#include "verilated.h"

namespace {

constexpr int kOkay = 0, kDecodeError = 3;
constexpr uint64_t kAxiLiteTimeout = 10000;

// What the trace port showed from a cycle on.
struct TraceChange {
  uint64_t cycle, value;
};

struct Burst {
  uint64_t address;
  unsigned beats;
  uint64_t ready_at;  // first cycle in which the memory may answer
};

class Sim {
 public:
  Sim(uint8_t* memory, uint64_t bytes, uint32_t seed, unsigned latency)
      : memory_(memory), bytes_(bytes), latency_(latency) {
    context_.randReset(2);
    context_.randSeed(static_cast<int>(seed | 1));
    top_ = std::make_unique<Vlathe>(&context_);
    word_ = sizeof(top_->m_axi_rdata);
    top_->clk_i = 0;
    idle_inputs();
    reset(true);
  }

  void reset(bool power_on) {
    idle_inputs();
    top_->rst_ni = 0;
    top_->por_ni = power_on ? 0 : 1;
    settle();
    for (int i = 0; i < 4; ++i) edge();
    // Whatever the bus showed before and during reset never was a transfer.
    reads_.clear();
    writes_.clear();
    responses_.clear();
    write_response_ = kOkay;
    idle_inputs();
    top_->rst_ni = 1;
    top_->por_ni = 1;
    settle();
    edge();
  }

  int write(uint32_t address, uint32_t data) {
    top_->s_axil_awaddr = address;
    top_->s_axil_awvalid = 1;
    top_->s_axil_wdata = data;
    top_->s_axil_wstrb = 0xf;
    top_->s_axil_wvalid = 1;
    top_->s_axil_bready = 1;
    const uint64_t end = cycles_ + kAxiLiteTimeout;
    while (cycles_ < end) {
      settle();
      const bool aw = top_->s_axil_awvalid && top_->s_axil_awready;
      const bool w = top_->s_axil_wvalid && top_->s_axil_wready;
      const bool b = top_->s_axil_bvalid;
      const int response = top_->s_axil_bresp;
      edge();
      if (aw) top_->s_axil_awvalid = 0;
      if (w) top_->s_axil_wvalid = 0;
      if (b) {
        top_->s_axil_bready = 0;
        return response;
      }
    }
    top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_bready = 0;
    return -1;
  }

  int read(uint32_t address, uint32_t* data) {
    top_->s_axil_araddr = address;
    top_->s_axil_arvalid = 1;
    top_->s_axil_rready = 1;
    const uint64_t end = cycles_ + kAxiLiteTimeout;
    while (cycles_ < end) {
      settle();
      const bool ar = top_->s_axil_arvalid && top_->s_axil_arready;
      const bool r = top_->s_axil_rvalid;
      *data = top_->s_axil_rdata;
      const int response = top_->s_axil_rresp;
      edge();
      if (ar) top_->s_axil_arvalid = 0;
      if (r) {
        top_->s_axil_rready = 0;
        return response;
      }
    }
    top_->s_axil_arvalid = top_->s_axil_rready = 0;
    return -1;
  }

  // Runs until the interrupt is high; 1 when max_cycles passed before.
  int run(uint64_t max_cycles) {
    for (const uint64_t end = cycles_ + max_cycles; cycles_ < end;) {
      if (top_->irq_o) return 0;
      edge();
    }
    return top_->irq_o ? 0 : 1;
  }

  void advance(uint64_t count) {
    while (count--) edge();
  }

  uint64_t cycles() const { return cycles_; }

  // On: forget what was recorded and record every change of the trace port from now on.
  void trace(bool on) {
    if (on) trace_.clear();
    tracing_ = on;
  }

  const std::vector<TraceChange>& changes() const { return trace_; }

 private:
  void idle_inputs() {
    top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_bready = 0;
    top_->s_axil_arvalid = top_->s_axil_rready = 0;
    top_->s_axil_awprot = top_->s_axil_arprot = 0;
    top_->m_axi_awready = top_->m_axi_wready = top_->m_axi_arready = 1;
    top_->m_axi_bvalid = top_->m_axi_rvalid = 0;
    top_->m_axi_bid = top_->m_axi_rid = 0;
    top_->m_axi_rlast = 0;
  }

  // Lets an input through that stops or starts a clock, or what depends on inputs in the same cycle be seen. The memory's
  // inputs do neither: the chip's side of its handshakes comes from registers.
  void settle() { top_->eval(); }

  bool outside(uint64_t address) const { return address + word_ > bytes_; }

  void record() {
    const uint64_t value = top_->trace_o;
    if (trace_.empty() || trace_.back().value != value) trace_.push_back({cycles_, value});
  }

  // The cycle's edge, one change of clk_i: what the memory sees before it decides what the memory drives after it.
  void edge() {
    if (tracing_) {
      settle();
      record();
    }
    const bool ar = top_->m_axi_arvalid && top_->m_axi_arready;
    const bool aw = top_->m_axi_awvalid && top_->m_axi_awready;
    const bool w = top_->m_axi_wvalid && top_->m_axi_wready;
    const bool r = top_->m_axi_rvalid && top_->m_axi_rready;
    const bool b = top_->m_axi_bvalid && top_->m_axi_bready;
    if (ar) reads_.push_back({top_->m_axi_araddr, top_->m_axi_arlen + 1u, cycles_ + latency_});
    if (aw) writes_.push_back({top_->m_axi_awaddr, top_->m_axi_awlen + 1u, 0});
    if (w && !writes_.empty()) {
      Burst& burst = writes_.front();
      if (outside(burst.address)) {
        write_response_ = kDecodeError;
      } else {
        store(burst.address);
      }
      burst.address += word_;
      if (--burst.beats == 0) {
        responses_.push_back({cycles_ + latency_, write_response_});
        write_response_ = kOkay;
        writes_.pop_front();
      }
    }
    top_->clk_i = !top_->clk_i;
    top_->eval();
    ++cycles_;
    top_->m_axi_awready = writes_.size() < 8;
    top_->m_axi_arready = reads_.size() < 8;
    top_->m_axi_wready = !writes_.empty();
    if (r || !top_->m_axi_rvalid) drive_read();
    if (b || !top_->m_axi_bvalid) {
      const bool answer = !responses_.empty() && responses_.front().ready_at <= cycles_;
      top_->m_axi_bvalid = answer;
      if (answer) {
        top_->m_axi_bresp = responses_.front().code;
        responses_.pop_front();
      }
    }
  }

  void drive_read() {
    top_->m_axi_rvalid = 0;
    if (reads_.empty() || reads_.front().ready_at > cycles_) return;
    Burst& burst = reads_.front();
    top_->m_axi_rvalid = 1;
    if (outside(burst.address)) {
      top_->m_axi_rresp = kDecodeError;
    } else {
      top_->m_axi_rresp = kOkay;
      std::memcpy(&top_->m_axi_rdata, memory_ + burst.address, word_);
    }
    burst.address += word_;
    top_->m_axi_rlast = --burst.beats == 0;
    if (burst.beats == 0) reads_.pop_front();
  }

  void store(uint64_t address) {
    const auto* data = reinterpret_cast<const uint8_t*>(&top_->m_axi_wdata);
    for (unsigned i = 0; i < word_; ++i)
      if (top_->m_axi_wstrb >> i & 1) memory_[address + i] = data[i];
  }

  struct Response {
    uint64_t ready_at;
    int code;
  };

  VerilatedContext context_;
  std::unique_ptr<Vlathe> top_;
  uint8_t* memory_;
  uint64_t bytes_;
  unsigned latency_;
  unsigned word_ = 0;
  uint64_t cycles_ = 0;
  int write_response_ = kOkay;
  std::deque<Burst> reads_, writes_;
  std::deque<Response> responses_;
  bool tracing_ = false;
  std::vector<TraceChange> trace_;
};

}  // namespace

extern "C" {
void* lathe_sim_new(uint8_t* memory, uint64_t bytes, uint32_t seed, uint32_t latency) {
  return new Sim(memory, bytes, seed, latency);
}
void lathe_sim_free(void* sim) { delete static_cast<Sim*>(sim); }
void lathe_sim_reset(void* sim, int power_on) { static_cast<Sim*>(sim)->reset(power_on != 0); }
int lathe_sim_write(void* sim, uint32_t address, uint32_t data) { return static_cast<Sim*>(sim)->write(address, data); }
int lathe_sim_read(void* sim, uint32_t address, uint32_t* data) { return static_cast<Sim*>(sim)->read(address, data); }
int lathe_sim_run(void* sim, uint64_t max_cycles) { return static_cast<Sim*>(sim)->run(max_cycles); }
void lathe_sim_advance(void* sim, uint64_t count) { static_cast<Sim*>(sim)->advance(count); }
void lathe_sim_trace(void* sim, int on) { static_cast<Sim*>(sim)->trace(on != 0); }
uint64_t lathe_sim_trace_size(void* sim) { return static_cast<Sim*>(sim)->changes().size(); }
void lathe_sim_trace_read(void* sim, void* changes) {
  const auto& trace = static_cast<Sim*>(sim)->changes();
  std::memcpy(changes, trace.data(), trace.size() * sizeof(trace[0]));
}
uint64_t lathe_sim_cycles(void* sim) { return static_cast<Sim*>(sim)->cycles(); }
}
