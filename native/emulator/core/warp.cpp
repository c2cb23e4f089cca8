/* Operations of a warp: its lanes meet, and the last one to come does it for all. */
#include "block.h"

namespace lathe::emulator {

void BlockRunner::sync_warp(uint32_t mask) { meet(WarpOperation::kSync, mask, 0, 0); }

uint64_t BlockRunner::shuffle(uint32_t mask, uint64_t value, unsigned source) {
  return meet(WarpOperation::kShuffle, mask, value, source);
}

uint32_t BlockRunner::ballot(uint32_t mask, bool predicate) {
  return static_cast<uint32_t>(meet(WarpOperation::kBallot, mask, predicate, 0));
}

void BlockRunner::collective(uint32_t mask, void* mine, WarpFunction* function, const void* context) {
  Warp& warp = warps_[current_ / kWarp];
  warp.function[current_ % kWarp] = function;
  warp.context[current_ % kWarp] = context;
  meet(WarpOperation::kCollective, mask, reinterpret_cast<uintptr_t>(mine), 0);
}

uint64_t BlockRunner::meet(WarpOperation operation, uint32_t mask, uint64_t value, unsigned source) {
  unsigned lane = current_ % kWarp;
  Warp& warp = warps_[current_ / kWarp];
  if ((mask >> lane & 1) == 0)
    fail({.kind = FaultKind::kDivergence, .detail = "is not in the mask of its own warp operation"});
  warp.operation[lane] = operation;
  warp.mask[lane] = mask;
  warp.value[lane] = value;
  warp.source[lane] = source;
  warp.waiting |= uint32_t{1} << lane;
  runnable_.remove(current_);
  if ((mask & ~(warp.waiting | warp.exited)) == 0) complete(current_ / kWarp, lane);
  go_on(schedule_.next_near(runnable_, current_, count_));
  return warp.value[lane];
}

/** Ends the operation that `lane` waits in, if all lanes of its mask have come or returned. */
bool BlockRunner::complete(unsigned warp_number, unsigned lane) {
  Warp& warp = warps_[warp_number];
  uint32_t mask = warp.mask[lane];
  if ((mask & ~(warp.waiting | warp.exited)) != 0) return false;
  uint32_t here = mask & warp.waiting;
  check_agreement(warp_number, here, lane);
  switch (warp.operation[lane]) {
    case WarpOperation::kShuffle: {
      std::array<uint64_t, kWarp> passed = warp.value;
      for (unsigned i = 0; i < kWarp; i++) {
        if ((here >> i & 1) == 0) continue;
        if ((here >> warp.source[i] & 1) == 0) {
          current_ = warp_number * kWarp + i;
          fail({.kind = FaultKind::kDivergence, .detail = "shuffles a value from a lane that does not take part"});
        }
        warp.value[i] = passed[warp.source[i]];
      }
      break;
    }
    case WarpOperation::kBallot: {
      uint32_t votes = 0;
      for (unsigned i = 0; i < kWarp; i++) votes |= static_cast<uint32_t>(warp.value[i] != 0) << i;
      for (unsigned i = 0; i < kWarp; i++)
        if (here >> i & 1) warp.value[i] = votes & here;
      break;
    }
    case WarpOperation::kCollective:
      run_function(warp, here, lane);
      break;
    case WarpOperation::kSync:
      // A shuffle or vote orders no memory; __syncwarp does. For a part of the warp this forgives a little too much.
      warp.epoch++;
      break;
    case WarpOperation::kNone:
      break;
  }
  for (unsigned i = 0; i < kWarp; i++)
    if (here >> i & 1) warp.operation[i] = WarpOperation::kNone;
  warp.waiting &= ~here;
  runnable_.add_lanes(warp_number, here);
  return true;
}

/** Lanes that meet must be in the same operation, each with the same mask. */
void BlockRunner::check_agreement(unsigned warp_number, uint32_t here, unsigned lane) {
  const Warp& warp = warps_[warp_number];
  uint32_t same = 0;
  for (unsigned i = 0; i < kWarp; i++)
    same |= static_cast<uint32_t>(warp.operation[i] == warp.operation[lane] && warp.mask[i] == warp.mask[lane]) << i;
  if (warp.operation[lane] == WarpOperation::kCollective)
    for (unsigned i = 0; i < kWarp; i++)
      if (warp.function[i] != warp.function[lane]) same &= ~(uint32_t{1} << i);
  if ((here & ~same) == 0) return;
  current_ = warp_number * kWarp + static_cast<unsigned>(std::countr_zero(here & ~same));
  fail({.kind = FaultKind::kDivergence, .detail = "meets lanes of its warp in another operation, or with another mask"});
}

void BlockRunner::run_function(Warp& warp, uint32_t here, unsigned lane) {
  void* all[kWarp] = {};
  for (unsigned i = 0; i < kWarp; i++)
    if (here >> i & 1) all[i] = reinterpret_cast<void*>(warp.value[i]);
  warp.function[lane](all, warp.context[lane]);
}

}  // namespace lathe::emulator
