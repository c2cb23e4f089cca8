/* Draws a token from each row of logits: repetition penalty, temperature, top-k, top-p, min-p, in this order
 *
 * The host's Sampler, on the device: the same steps on the same numbers, and for draw n of a seed the same random number,
 * SplitMix64 of seed + (n + 1) * gamma (Steele, Lea, Flood 2014), as java.util.SplittableRandom gives it. Weights
 * exp((logit - largest) / temperature) are computed in fp64 and rounded to multiples of 2^-43: sums of integers don't depend
 * on their order, so a draw can be repeated. It is the host's token but where the random number comes within some 2^-40 of
 * the border between two tokens; without a temperature always.
 *
 *   logits        [rows, cols]  f32, finite, cols up to 2^20; changed by the penalty
 *   parameters    [rows]        Parameters, 64 bytes each
 *   context       tokens of row r, the prompt's too: context[context_starts[r]] to context[context_starts[r + 1] - 1]
 *   seen          [rows, (cols + 31) / 32] zeros
 *   largest       [rows] of argmax.cu
 *   histograms    [3, rows, 2048] zeros;  states [2, rows]
 *   out           [rows] tokens
 *
 * Which token is the k-th, or the one where a sum of weights passes a bound, is found by radix selection: 5 passes of 11 bits,
 * each a launch that many blocks share. Passes 0 to 4 look for the last of top-k, 5 to 9 for the last of top-p, 10 to 14 for
 * the token; where no row needs one of the first two, it is not launched. Each pass begins with what the pass before counted.
 * reads 4 * rows * cols bytes a pass, mostly from the L2 cache: bound by launches; not measured on a GPU yet
 * grid: chunks of cols, rows; sampling_token: 1, rows                  proof: SamplingKernelsTest
 */
#include "common/ranking.cuh"

namespace {

constexpr int kBits = 11, kBins = 1 << kBits, kPasses = 5;
constexpr int kThreads = 256;
constexpr int kColumnBits = 20;
constexpr double kOne = 8796093022208.0;  // 2^43: a weight of 1

enum Phase { kTopK, kTopP, kToken };

/** As the host writes them. */
struct Parameters {
  double temperature, top_p, min_p, penalty;
  int64_t top_k, seed, draw, unused;
};

struct Row {
  double temperature, top_p, min_p;
  int64_t top_k;
  uint64_t seed, draw;
  uint64_t largest;
  int64_t cols;

  __device__ __forceinline__ bool greedy() const { return temperature == 0; }
  /** Nothing is left out: the host then adds up weights in the order of tokens, not of likelihood. */
  __device__ __forceinline__ bool whole() const { return top_k == 0 && top_p == 1 && min_p == 0; }
  __device__ __forceinline__ bool uses(int phase) const {
    return phase == kTopK ? top_k > 0 && top_k < cols : phase == kTopP ? top_p < 1 : true;
  }
};

/** What the passes so far have found. */
struct State {
  uint64_t last_kept;        // keys below this are left out
  uint64_t prefix;           // the wanted key's upper bits
  uint64_t target;           // how much comes before it, of what has these upper bits
};

/** 52 bits, the first to be taken has the largest. */
__device__ __forceinline__ uint64_t key_of(uint64_t rank, bool by_token) {
  uint64_t column = (1u << kColumnBits) - 1 - column_of(rank);
  return by_token ? column : rank >> 32 << kColumnBits | column;
}

__device__ __forceinline__ uint64_t random_bits(uint64_t seed, uint64_t draw) {
  uint64_t z = seed + (draw + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/** How much must come before the wanted key, of `total`. */
__device__ __forceinline__ uint64_t target_of(const Row& row, int phase, uint64_t total) {
  if (phase == kTopK) return static_cast<uint64_t>(row.top_k) - 1;
  if (phase == kTopP) {
    // The last before which less than top_p * total comes.
    uint64_t bound = static_cast<uint64_t>(ceil(row.top_p * static_cast<double>(total)));
    return bound == 0 ? 0 : bound - 1;
  }
  uint64_t random = random_bits(row.seed, row.draw) >> 11 << 11;  // 53 bits: what nextDouble takes
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random) * total >> 64);
}

struct Found {
  int64_t bin;  // wide, so that nothing of it is padding
  uint64_t before, total;
};

/** Finds the bin, from the last one down, in which `target` is passed, and what is left of it there; in all threads. */
__device__ __forceinline__ Found find_bin(const uint64_t* histogram, const Row& row, int phase, bool first, uint64_t target) {
  LATHE_SHARED(uint64_t, of_warps, [kThreads / 32]);
  LATHE_SHARED(Found, found, [1]);
  constexpr int kEach = kBins / kThreads;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int last = kBins - 1 - static_cast<int>(threadIdx.x) * kEach;
  uint64_t bins[kEach], mine = 0;
#pragma unroll
  for (int i = 0; i < kEach; i++) mine += bins[i] = histogram[last - i];
  uint64_t until = mine, total = 0;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    uint64_t other = __shfl_up_sync(0xffffffffu, until, offset);
    if (lane >= offset) until += other;
  }
  if (lane == 31) of_warps[warp] = until;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kThreads / 32; w++) {
    if (w < warp) until += of_warps[w];
    total += of_warps[w];
  }
  if (first) target = target_of(row, phase, total);
  uint64_t before = until - mine;
#pragma unroll
  for (int i = 0; i < kEach; i++) {
    if (target >= before && target - before < bins[i]) found[0] = {last - i, target - before, total};
    before += bins[i];
  }
  __syncthreads();
  return found[0];
}

__device__ __forceinline__ uint64_t weight(const Row& row, float logit, bool* likely) {
  double p = exp((static_cast<double>(logit) - static_cast<double>(value_of(row.largest))) / row.temperature);
  *likely = p >= row.min_p;
  return static_cast<uint64_t>(p * kOne + 0.5);
}

/** The state before `pass`, from that before the last pass and what the last one counted. */
__device__ __forceinline__ State next_state(const Row& row, State state, const uint64_t* histogram, int last_pass) {
  int phase = last_pass / kPasses, step = last_pass % kPasses;
  if (!row.uses(phase)) return {state.last_kept, 0, 0};
  Found found = find_bin(histogram, row, phase, step == 0, state.target);
  state.prefix = state.prefix << kBits | static_cast<uint64_t>(found.bin);
  state.target = found.before;
  if (step < kPasses - 1 || phase == kToken) return state;
  return {state.prefix, 0, 0};
}

__device__ __forceinline__ void count(const Row& row, const State& state, const float* logits, uint64_t* histogram, int pass) {
  LATHE_SHARED(unsigned long long, bins, [kBins]);
  for (int i = threadIdx.x; i < kBins; i += kThreads) bins[i] = 0;
  __syncthreads();
  int phase = pass / kPasses, step = pass % kPasses;
  bool by_token = phase == kToken && row.whole();
  int shift = (kPasses - 1 - step) * kBits;
  int64_t begin = static_cast<int64_t>(blockIdx.x) * kChunk, end = begin + kChunk < row.cols ? begin + kChunk : row.cols;
  for (int64_t c = begin + threadIdx.x; c < end; c += kThreads) {
    uint64_t rank = ranked(logits[c], static_cast<unsigned>(c));
    uint64_t key = key_of(rank, by_token);
    if (!by_token && key < state.last_kept) continue;
    if (key >> shift >> kBits != state.prefix) continue;
    uint64_t amount = 1;
    if (phase != kTopK) {
      bool likely;
      amount = weight(row, logits[c], &likely);
      if (phase == kToken && !likely && rank != row.largest) continue;
    }
    if (amount != 0) atomicAdd(&bins[key >> shift & (kBins - 1)], static_cast<unsigned long long>(amount));
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kBins; i += kThreads)
    if (bins[i] != 0) atomicAdd(reinterpret_cast<unsigned long long*>(histogram + i), bins[i]);
}

}  // namespace

LATHE_KERNEL(sampling_clear, 256, (unsigned* words, int64_t count)) {
  int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) words[i] = 0;
}

/** A token that stands in its row's context several times is penalized once: by whoever marks it first. */
LATHE_KERNEL(sampling_penalize, 256, (float* logits, unsigned* seen, const int* context, const int* context_starts,
                                      const Parameters* parameters, int64_t cols)) {
  int64_t row = blockIdx.y;
  double penalty = parameters[row].penalty;
  if (penalty == 1) return;
  for (int i = context_starts[row] + static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < context_starts[row + 1];
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    int token = context[i];
    unsigned* word = seen + row * ((cols + 31) / 32) + token / 32;
    unsigned bit = 1u << token % 32, old = atomicAdd(word, 0u), expected;
    do {
      expected = old;
      if ((old & bit) != 0) break;
      old = atomicCAS(word, expected, expected | bit);
    } while (old != expected);
    if ((old & bit) != 0) continue;
    float* logit = logits + row * cols + token;
    *logit = static_cast<float>(*logit > 0 ? *logit / penalty : *logit * penalty);
  }
}

#define SAMPLING_PARAMS \
  const Parameters *parameters, const uint64_t *largest, int64_t cols, uint64_t *histograms, uint64_t *states, int rows

namespace {

__device__ __forceinline__ Row row_of(const Parameters& p, uint64_t largest, int64_t cols) {
  return {p.temperature, p.top_p, p.min_p, p.top_k, static_cast<uint64_t>(p.seed), static_cast<uint64_t>(p.draw), largest, cols};
}

}  // namespace

/** `launch` counts from 0 whatever passes are left out; `last_pass` is that of the launch before, -1: there is none. */
LATHE_KERNEL(sampling_pass, 256, (const float* logits, SAMPLING_PARAMS, int pass, int last_pass, int launch)) {
  int64_t r = blockIdx.y;
  Row row = row_of(parameters[r], largest[r], cols);
  if (row.greedy()) return;
  int64_t counts = static_cast<int64_t>(rows) * kBins;
  State* saved = reinterpret_cast<State*>(states);
  State state = {0, 0, 0};
  if (last_pass >= 0) {
    if (launch > 1) state = saved[(launch - 1) % 2 * rows + r];
    state = next_state(row, state, histograms + (launch + 2) % 3 * counts + r * kBins, last_pass);
  }
  if (blockIdx.x == 0) {
    if (threadIdx.x == 0) saved[launch % 2 * rows + r] = state;
    uint64_t* after = histograms + (launch + 1) % 3 * counts + r * kBins;
    for (int i = threadIdx.x; i < kBins; i += kThreads) after[i] = 0;
  }
  if (row.uses(pass / kPasses)) count(row, state, logits + r * cols, histograms + launch % 3 * counts + r * kBins, pass);
}

LATHE_KERNEL(sampling_token, 256, (int* out, SAMPLING_PARAMS, int last_pass, int launch)) {
  int64_t r = blockIdx.y;
  Row row = row_of(parameters[r], largest[r], cols);
  if (row.greedy()) {
    if (threadIdx.x == 0) out[r] = static_cast<int>(column_of(row.largest));
    return;
  }
  const State* saved = reinterpret_cast<const State*>(states);
  int64_t counts = static_cast<int64_t>(rows) * kBins;
  State state =
      next_state(row, saved[(launch - 1) % 2 * rows + r], histograms + (launch + 2) % 3 * counts + r * kBins, last_pass);
  if (threadIdx.x == 0) out[r] = static_cast<int>((1u << kColumnBits) - 1 - (state.prefix & ((1u << kColumnBits) - 1)));
}
