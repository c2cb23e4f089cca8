#include "grid.h"

#include <algorithm>

#include "block.h"

namespace lathe::emulator {

uint32_t GridRun::take_intervals(unsigned long block) {
  uint32_t first = next_interval_.fetch_add(kIntervals, std::memory_order_relaxed);
  if (grid.kernel->checked) {
    std::scoped_lock lock(mutex_);
    taken_.emplace_back(first, block);
  }
  return first;
}

unsigned long GridRun::block_of(uint32_t interval) {
  std::scoped_lock lock(mutex_);
  for (auto [first, block] : taken_)
    if (interval >= first && interval < first + kIntervals) return block;
  return 0;
}

void GridRun::fail(const Fault& fault) {
  std::scoped_lock lock(mutex_);
  if (fault_.kind == FaultKind::kNone) fault_ = fault;
  failed = true;
}

/** One launch, as the workers see it. */
struct GridRunner::Launch {
  GridRun run;
  std::vector<unsigned long> order;  // of blocks; empty: 0, 1, 2, …
  unsigned long blocks;
  unsigned workers;
  size_t resident_each;  // blocks that a worker may have begun and not ended
  std::atomic<unsigned long> next{0};
  std::atomic<uint64_t> progress{1};  // counts what blocks that wait may have waited for
};

GridRunner::GridRunner(Memory* memory) : memory_(memory) {
  for (unsigned i = 0; i < workers_.count(); i++) seats_.push_back(std::make_unique<Seat>());
}
GridRunner::~GridRunner() = default;

Outcome GridRunner::run(const Grid& grid, const Schedule& schedule) {
  constexpr unsigned long kWorthWaking = 512;  // threads; fewer are done before another core is awake
  Outcome outcome;
  if (!grid.kernel->checked) unchecked_writes_ = true;
  if (interval_ > 0xe0000000) {
    memory_->forget_accesses();
    interval_ = 1;
    outcome.forgot = true;
  }
  unsigned long blocks = static_cast<unsigned long>(grid.blocks.x) * grid.blocks.y * grid.blocks.z;
  unsigned long threads = blocks * grid.threads.x * grid.threads.y * grid.threads.z;
  unsigned workers = 1;
  if (schedule.parallel() && threads >= kWorthWaking)
    workers = static_cast<unsigned>(std::min<unsigned long>(workers_.count(), blocks));
  Schedule order = schedule;
  Launch launch{.run = {grid, schedule, interval_, workers > 1, unchecked_writes_},
                .order = order.block_order(blocks),
                .blocks = blocks,
                .workers = workers,
                .resident_each = std::max<size_t>(1, std::max<size_t>(1, grid.resident_blocks) / workers)};
  for (auto& seat : seats_) {
    seat->stuck_since = 0;
    seat->done = false;
  }
  workers_.run(workers, [&](unsigned worker) { work(launch, worker); });
  outcome.fault = launch.run.fault();
  outcome.first_interval = launch.run.first_interval;
  outcome.end_interval = interval_ = launch.run.end_interval();
  return outcome;
}

BlockRunner& GridRunner::free_runner(Seat& seat) {
  if (seat.free.empty()) {
    std::scoped_lock lock(mutex_);
    runners_.push_back(std::make_unique<BlockRunner>(memory_, static_cast<unsigned>(runners_.size())));
    seat.free.push_back(runners_.back().get());
  }
  BlockRunner& runner = *seat.free.back();
  seat.free.pop_back();
  return runner;
}

/**
 * Begins blocks and goes on with those that wait for others, in turn. A worker is stuck when all its blocks have been
 * gone on with, several times, and nothing in the whole grid has happened meanwhile; when all are stuck, that stays so.
 */
void GridRunner::work(Launch& launch, unsigned worker) {
  constexpr unsigned kRounds = 64;
  GridRun& run = launch.run;
  Seat& seat = *seats_[worker];
  size_t idle = 0;
  uint64_t seen = 0;
  for (bool begin = true; !run.failed; begin = !begin) {
    BlockRunner* runner = nullptr;
    if ((begin || seat.parked.empty()) && seat.parked.size() < launch.resident_each && launch.next < launch.blocks) {
      unsigned long next = launch.next++;
      if (next < launch.blocks) {
        runner = &free_runner(seat);
        runner->begin(run, launch.order.empty() ? next : launch.order[next]);
        launch.progress++;
      }
    }
    if (runner == nullptr) {
      if (seat.parked.empty()) {
        if (launch.next < launch.blocks) continue;
        break;
      }
      runner = seat.parked.front();
      seat.parked.erase(seat.parked.begin());
    }
    switch (runner->go_on_with()) {
      case BlockRunner::State::kEnded:
        seat.free.push_back(runner);
        launch.progress++;
        break;
      case BlockRunner::State::kFailed:
        seat.free.push_back(runner);
        run.fail(runner->fault());
        break;
      case BlockRunner::State::kParked:
        seat.parked.push_back(runner);
        if (runner->take_progress()) launch.progress++;
        break;
    }
    uint64_t now = launch.progress;
    idle = now == seen ? idle + 1 : 0;
    seen = now;
    if (seat.parked.empty() || idle < kRounds * (seat.parked.size() + 1)) continue;
    seat.stuck_since = now;
    auto stuck = [&](unsigned other) { return seats_[other]->done || seats_[other]->stuck_since == now; };
    bool all = launch.next >= launch.blocks || seat.parked.size() >= launch.resident_each;
    for (unsigned other = 0; other < launch.workers; other++) all = all && stuck(other);
    if (all && launch.progress == now) run.fail(seat.parked.front()->waits_for_ever());
  }
  for (BlockRunner* runner : seat.parked) {
    runner->abandon();
    seat.free.push_back(runner);
  }
  seat.parked.clear();
  seat.done = true;
}

}  // namespace lathe::emulator
