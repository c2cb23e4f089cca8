#include "lathe_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "../include/cuda_bf16.h"
#include "../include/cuda_fp16.h"
#include "block.h"

namespace lathe::emulator {

namespace {

constexpr int kRows = 16, kCols = 8, kLanes = 32;
constexpr int kMostDepth = 64;

template <class Value>
struct Tiles {
  Value a[kRows][kMostDepth], b[kCols][kMostDepth];
};

template <class Value, int kPerRegister, class Decode>
void gather(Tiles<Value>& tiles, void* const* lanes, const MmaKind& kind, Decode decode) {
  constexpr int kBits = 32 / kPerRegister;
  for (int lane = 0; lane < kLanes; lane++) {
    const auto& mine = *static_cast<const MmaOperands*>(lanes[lane]);
    int g = lane / 4, t = lane % 4;
    for (int r = 0; r < kind.a_registers; r++)
      for (int j = 0; j < kPerRegister; j++)
        tiles.a[g + 8 * (r % 2)][kPerRegister * t + j + 4 * kPerRegister * (r / 2)] =
            decode(mine.a[r] >> kBits * j, true);
    for (int r = 0; r < kind.b_registers; r++)
      for (int j = 0; j < kPerRegister; j++)
        tiles.b[g][kPerRegister * t + j + 4 * kPerRegister * r] = decode(mine.b[r] >> kBits * j, false);
  }
}

/** Puts the kept values of a sparse A where they belong, zeros elsewhere. */
template <class Value>
void expand(Tiles<Value>& tiles, void* const* lanes, const MmaKind& kind, int depth, bool narrow) {
  Value dense[kMostDepth];
  for (int row = 0; row < kRows; row++) {
    std::memset(dense, 0, sizeof dense);
    for (int q = 0; q < depth / 4; q++) {
      int lane = 4 * (row % 8) + (narrow ? row / 8 + 2 * (q / 8) : 2 * kind.selector + q / 4);
      int shift = narrow ? 4 * (q % 8) : 4 * (q % 4) + 16 * (row / 8);
      uint32_t indices = static_cast<const MmaOperands*>(lanes[lane])->metadata >> shift;
      dense[4 * q + (indices & 3)] = tiles.a[row][2 * q];
      dense[4 * q + (indices >> 2 & 3)] = tiles.a[row][2 * q + 1];
    }
    std::memcpy(tiles.a[row], dense, sizeof dense);
  }
}

template <class Sum, class Value>
void multiply(const Tiles<Value>& tiles, void* const* lanes, int depth) {
  for (int lane = 0; lane < kLanes; lane++) {
    auto* c = static_cast<Sum*>(static_cast<const MmaOperands*>(lanes[lane])->c);
    for (int i = 0; i < 4; i++) {
      const Value* a = tiles.a[lane / 4 + 8 * (i / 2)];
      const Value* b = tiles.b[2 * (lane % 4) + i % 2];
      Sum sum = c[i];
      for (int k = 0; k < depth; k++) sum += static_cast<Sum>(a[k] * b[k]);
      c[i] = sum;
    }
  }
}

/** 2^exponent, of those that products of floats have. */
double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52); }

/** As in 1.f * 2^exponent; of zero far below all others, of infinities and NaNs far above, also times zero. */
int exponent_of(float x) {
  int biased = static_cast<int>(std::bit_cast<uint32_t>(x) >> 23 & 0xff);
  if (biased == 255) return 5000;
  if (biased > 0) return biased - 127;
  return x == 0 ? -1000 : std::ilogb(x);
}

/** c and `count` products, each cut off `bits` behind the leading bit of the largest; then cut off to a float. */
float cut_off_sum(float c, const float* a, const float* b, int count, int bits) {
  int largest = std::max(exponent_of(c), -300);
  for (int k = 0; k < count; k++) largest = std::max(largest, exponent_of(a[k]) + exponent_of(b[k]));
  if (largest > 127) {  // infinities and NaNs, or what becomes one
    double sum = c;
    for (int k = 0; k < count; k++) sum += static_cast<double>(a[k]) * b[k];
    return static_cast<float>(sum);
  }
  double unit = power_of_two(bits - largest);
  int64_t units = static_cast<int64_t>(c * unit);
  for (int k = 0; k < count; k++) units += static_cast<int64_t>(static_cast<double>(a[k]) * b[k] * unit);
  double sum = static_cast<double>(units) * power_of_two(largest - bits);
  float cut = static_cast<float>(sum);
  return std::fabs(static_cast<double>(cut)) > std::fabs(sum) ? std::nextafterf(cut, 0.0f) : cut;
}

void multiply_cut_off(const Tiles<float>& tiles, void* const* lanes, int depth, int at_once, int bits) {
  for (int lane = 0; lane < kLanes; lane++) {
    auto* c = static_cast<float*>(static_cast<const MmaOperands*>(lanes[lane])->c);
    for (int i = 0; i < 4; i++) {
      const float* a = tiles.a[lane / 4 + 8 * (i / 2)];
      const float* b = tiles.b[2 * (lane % 4) + i % 2];
      for (int k = 0; k < depth; k += at_once) c[i] = cut_off_sum(c[i], a + k, b + k, std::min(at_once, depth - k), bits);
    }
  }
}

template <class Decode>
void multiply_floats(void* const* lanes, const MmaKind& kind, const Sums& sums, Decode decode) {
  Tiles<float> tiles;
  int depth = 8 * kind.b_registers;
  gather<float, 2>(tiles, lanes, kind, [=](uint32_t bits, bool) { return decode(static_cast<uint16_t>(bits)); });
  if (kind.selector >= 0) expand(tiles, lanes, kind, depth, false);
  if (sums.products == 0)
    multiply<float>(tiles, lanes, depth);
  else  // of sparse ones, those that are kept count
    multiply_cut_off(tiles, lanes, depth, sums.products * (kind.selector >= 0 ? 2 : 1), sums.bits);
}

void multiply_integers(void* const* lanes, const MmaKind& kind) {
  Tiles<int> tiles;
  int depth = 16 * kind.b_registers;
  bool unsigned_a = kind.type == MmaType::kU8S8;
  gather<int, 4>(tiles, lanes, kind, [=](uint32_t bits, bool is_a) {
    return is_a && unsigned_a ? static_cast<int>(bits & 0xff) : static_cast<int>(static_cast<int8_t>(bits));
  });
  if (kind.selector >= 0) expand(tiles, lanes, kind, depth, true);
  multiply<uint32_t>(tiles, lanes, depth);  // unsigned, so that it wraps
}

struct MmaContext {
  MmaKind kind;
  Sums sums;
};

void mma_all(void* const* lanes, const void* context) {
  const auto& [kind, sums] = *static_cast<const MmaContext*>(context);
  switch (kind.type) {
    case MmaType::kF16:
      return multiply_floats(lanes, kind, sums, lathe_half::to_float);
    case MmaType::kBf16:
      return multiply_floats(lanes, kind, sums, lathe_bfloat16::to_float);
    case MmaType::kS8:
    case MmaType::kU8S8:
      return multiply_integers(lanes, kind);
  }
}

struct LdmatrixLane {
  const uint8_t* row;
  uint32_t* registers;
};
struct LdmatrixKind {
  int matrices;
  bool transposed;
};

void ldmatrix_all(void* const* lanes, const void* context) {
  const LdmatrixKind& kind = *static_cast<const LdmatrixKind*>(context);
  for (int m = 0; m < kind.matrices; m++) {
    uint16_t matrix[8][8];
    for (int r = 0; r < 8; r++)
      std::memcpy(matrix[r], static_cast<const LdmatrixLane*>(lanes[8 * m + r])->row, sizeof matrix[r]);
    for (int lane = 0; lane < kLanes; lane++) {
      int g = lane / 4, t = lane % 4;
      uint32_t low = kind.transposed ? matrix[2 * t][g] : matrix[g][2 * t];
      uint32_t high = kind.transposed ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
      static_cast<const LdmatrixLane*>(lanes[lane])->registers[m] = low | high << 16;
    }
  }
}

}  // namespace

void mma(const MmaKind& kind, const MmaOperands& mine) {
  MmaOperands operands = mine;
  BlockRunner& runner = current_runner();
  MmaContext context{kind, runner.grid().sums};
  runner.collective(~0u, &operands, &mma_all, &context);
}

void ldmatrix(uint32_t* registers, const void* row, int matrices, bool transposed) {
  BlockRunner& runner = current_runner();
  // Only the lanes whose rows are read have to pass an address.
  bool mine_counts = static_cast<int>(runner.linear_thread() % BlockRunner::kWarp) < 8 * matrices;
  if (mine_counts && runner.grid().kernel->checked)
    runner.access(reinterpret_cast<uintptr_t>(row), 16, 16, Access::kRead, __builtin_return_address(0));
  LdmatrixLane mine{static_cast<const uint8_t*>(row), registers};
  LdmatrixKind kind{matrices, transposed};
  runner.collective(~0u, &mine, &ldmatrix_all, &kind);
}

}  // namespace lathe::emulator
