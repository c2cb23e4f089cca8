/* How tensor cores add up products of 16-bit floats into fp32.
 *
 *   rounded   one product after another, each sum rounded to nearest: no hardware does
 *   ampere    8 products and the sum so far at once: 24 bits behind the point of the largest, the rest of each is cut off,
 *             and then what fp32 doesn't hold (compute capability 8.0 to 8.9)
 *   hopper    16 and 25 bits (9.0, 10.0, 12.0)
 *
 * Products are exact; the largest is the one whose exponents add up to most. As measured by others: Fasi, Higham, Mikaitis
 * and Pranesh 2021 (Numerical behavior of NVIDIA tensor cores, PeerJ CS 7:e330), Li et al. 2024 (FTTN, arXiv 2403.00232).
 */
#pragma once
#include <optional>
#include <string>

namespace lathe::emulator {

struct Sums {
  int products = 0;  // that are added at once; 0: rounded one by one
  int bits = 0;      // of each, behind the largest one's leading bit

  static std::optional<Sums> parse(const std::string& text) {
    if (text == "rounded") return Sums{};
    if (text == "ampere") return Sums{8, 24};
    if (text == "hopper") return Sums{16, 25};
    return {};
  }
};

}  // namespace lathe::emulator
