/* SplitMix64 (Steele, Lea, Flood 2014): any seed will do, zero too. */
#pragma once
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

namespace lathe::emulator {

inline uint64_t draw(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/** The seed in "random:SEED"; none where the text is anything else. */
inline std::optional<uint64_t> random_seed(const std::string& text) {
  constexpr char kPrefix[] = "random:";
  if (!text.starts_with(kPrefix)) return {};
  uint64_t seed;
  const char* end = text.data() + text.size();
  auto [parsed, error] = std::from_chars(text.data() + sizeof kPrefix - 1, end, seed);
  if (error != std::errc() || parsed != end) return {};
  return seed;
}

}  // namespace lathe::emulator
