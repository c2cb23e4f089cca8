/* The most that this machine gives, measured: what a kernel's bytes and operations per second are held against. */
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include "context.h"

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/* What else runs on the machine only makes a pass slower: the ceiling is the best of them. */
double best(const std::vector<double>& rates) { return *std::max_element(rates.begin(), rates.end()); }

} // namespace

double lathe_cpu_measure_bandwidth(lathe_cpu* cpu, int64_t buffer_bytes, int32_t repeats) {
  int threads = cpu->pool.threads();
  constexpr int64_t kPiece = 1 << 18; /* floats */
  int64_t pieces = std::max<int64_t>(threads, buffer_bytes / 4 / kPiece);
  auto* buffer = static_cast<float*>(std::aligned_alloc(64, size_t(pieces * kPiece * 4)));
  if (!buffer) {
    return -1;
  }
  auto fill = [&](int64_t piece, int) {
    std::fill_n(buffer + piece * kPiece, kPiece, 1.0f);
  };
  lathe::parallel(cpu->pool, pieces, fill);
  std::vector<float> sums(size_t(threads) * 16);
  auto read = [&](int64_t piece, int thread) {
    sums[size_t(thread) * 16] += cpu->kernels->read(buffer + piece * kPiece, kPiece);
  };
  std::vector<double> rates;
  for (int32_t i = 0; i < std::max(1, repeats); i++) {
    double start = seconds();
    lathe::parallel(cpu->pool, pieces, read);
    rates.push_back(double(pieces * kPiece * 4) / (seconds() - start));
  }
  std::free(buffer);
  float total = 0;
  for (float sum : sums) {
    total += sum;
  }
  return total > 0 ? best(rates) : -1; /* the sum is looked at, so it had to be made */
}

namespace {

/* Operations a second of what runs in registers, by all threads: the best of `repeats`. */
double operationsPerSecond(lathe_cpu* cpu, int64_t (*run)(int64_t rounds, float* sink), int32_t repeats) {
  int threads = cpu->pool.threads();
  constexpr int64_t kRounds = 400'000;
  constexpr int kTasks = 8;
  struct alignas(64) Sink {
    float values[64];
  };
  std::vector<Sink> sinks(static_cast<size_t>(threads));
  for (Sink& sink : sinks) {
    std::fill_n(sink.values, 64, 0.5f);
  }
  std::vector<double> rates;
  std::vector<int64_t> operations(size_t(threads) * 8);
  auto work = [&](int64_t, int thread) {
    operations[size_t(thread) * 8] += run(kRounds, sinks[size_t(thread)].values);
  };
  for (int32_t i = 0; i < std::max(1, repeats); i++) {
    std::fill(operations.begin(), operations.end(), 0);
    double start = seconds();
    lathe::parallel(cpu->pool, threads * kTasks, work);
    double elapsed = seconds() - start;
    int64_t total = 0;
    for (int64_t o : operations) {
      total += o;
    }
    rates.push_back(double(total) / elapsed);
  }
  return best(rates);
}

} // namespace

double lathe_cpu_measure_flops(lathe_cpu* cpu, int32_t repeats) {
  return operationsPerSecond(cpu, cpu->kernels->multiply_adds, repeats);
}

double lathe_cpu_measure_integer_ops(lathe_cpu* cpu, int32_t repeats) {
  return operationsPerSecond(cpu, cpu->kernels->integer_multiply_adds, repeats);
}

double lathe_cpu_measure_byte_ops(lathe_cpu* cpu, int32_t repeats) {
  return cpu->kernels->byte_multiply_adds
             ? operationsPerSecond(cpu, cpu->kernels->byte_multiply_adds, repeats)
             : -1;
}

double lathe_cpu_measure_round_trip(lathe_cpu* cpu, int32_t repeats) {
  constexpr int64_t kTrips = 10'000;
  constexpr double kPatience = 0.1; /* seconds for the other thread to come */
  if (cpu->pool.threads() == 1) {
    return -1;
  }
  struct alignas(128) Line { /* two: neighbours are fetched in pairs */
    std::atomic<int64_t> value{0};
  };
  constexpr int64_t kHere = 1, kOver = -1;
  Line question;
  Line answer;
  std::vector<double> trips;
  auto ask = [&] {
    double until = seconds() + kPatience;
    while (answer.value.load(std::memory_order_acquire) != kHere) {
      if (seconds() > until) {
        return;
      }
    }
    for (int64_t asked = kHere, i = 0; i < std::max(1, repeats); i++) {
      double start = seconds();
      for (int64_t trip = 0; trip < kTrips; trip++) {
        question.value.store(++asked, std::memory_order_release);
        for (int spin = 0; answer.value.load(std::memory_order_acquire) != asked; spin++) {
          lathe::relax(spin);
        }
      }
      trips.push_back((seconds() - start) / double(kTrips));
    }
  };
  auto reply = [&] {
    int64_t seen = 0;
    answer.value.store(kHere, std::memory_order_release);
    for (int spin = 0; seen != kOver;) {
      int64_t asked = question.value.load(std::memory_order_acquire);
      if (asked == seen) {
        lathe::relax(spin++);
      } else {
        seen = asked;
        spin = 0;
        answer.value.store(asked, std::memory_order_release);
      }
    }
  };
  auto side = [&](int64_t task, int thread) {
    if (task == 0) {
      ask();
      question.value.store(kOver, std::memory_order_release);
    } else if (thread != 0) { /* the caller takes what nobody came for */
      reply();
    }
  };
  lathe::parallel(cpu->pool, 2, side);
  if (trips.empty()) {
    return -1;
  }
  std::nth_element(trips.begin(), trips.begin() + trips.size() / 2, trips.end());
  return trips[trips.size() / 2] * 1e9;
}
