#include "config/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>
#include <system_error>

namespace backedpipe {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first, binary before decimal: format_size takes the first unit that divides evenly.
constexpr std::array<Unit, 9> kSizeUnits{{{"TiB", kTiB},
                                          {"GiB", kGiB},
                                          {"MiB", kMiB},
                                          {"KiB", kKiB},
                                          {"TB", 1'000'000'000'000},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"KB", 1'000},
                                          {"B", 1}}};
constexpr std::array<Unit, 4> kDurationUnits{
    {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

constexpr std::string_view kExpectedSize =
    "expected a size: a whole number and KiB, MiB, GiB, TiB (or KB, MB, GB, TB), such as "
    "\"64MiB\"";
constexpr std::string_view kExpectedDuration =
    "expected a duration: a whole number and ms, s, m or h, such as \"250ms\" or \"24h\"";

// Number and unit of "64MiB"; nothing when there is no number. A number that does not fit becomes
// the largest possible one, so that the caller's range check refuses it.
struct Quantity {
  std::uint64_t number;
  std::string_view unit;
};

std::optional<Quantity> split(std::string_view text) {
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) number = std::numeric_limits<std::uint64_t>::max();
  return Quantity{number, text.substr(static_cast<std::size_t>(rest - text.data()))};
}

std::optional<std::uint64_t> factor_of(std::span<const Unit> units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return unit.factor;
  }
  return std::nullopt;
}

std::uint64_t multiply_saturated(std::uint64_t number, std::uint64_t factor) {
  const std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  return number > max / factor ? max : number * factor;
}

std::string format_with(std::span<const Unit> units, std::uint64_t amount) {
  for (const Unit& unit : units) {
    if (amount != 0 && amount % unit.factor == 0) {
      return std::to_string(amount / unit.factor).append(unit.name);
    }
  }
  return std::string("0").append(units.back().name);
}

}  // namespace

Checked<std::uint64_t> parse_size(std::string_view text) {
  using Result = Checked<std::uint64_t>;
  const auto quantity = split(text);
  if (!quantity) return Result::failure(std::string(kExpectedSize));
  if (quantity->unit.empty()) return quantity->number;
  const auto factor = factor_of(kSizeUnits, quantity->unit);
  if (!factor) return Result::failure(std::string(kExpectedSize));
  return multiply_saturated(quantity->number, *factor);
}

Checked<std::chrono::milliseconds> parse_duration(std::string_view text) {
  using Result = Checked<std::chrono::milliseconds>;
  const auto quantity = split(text);
  if (!quantity) return Result::failure(std::string(kExpectedDuration));
  if (quantity->unit.empty()) {
    return Result::failure(std::string(kExpectedDuration) + "; add a unit, for example \"" +
                           std::to_string(quantity->number) + "s\"");
  }
  const auto factor = factor_of(kDurationUnits, quantity->unit);
  if (!factor) return Result::failure(std::string(kExpectedDuration));
  constexpr auto kMax = static_cast<std::uint64_t>(std::chrono::milliseconds::max().count());
  const std::uint64_t count = std::min(multiply_saturated(quantity->number, *factor), kMax);
  return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(count));
}

std::string format_size(std::uint64_t size_bytes) {
  return format_with(kSizeUnits, size_bytes);
}

std::string format_duration(std::chrono::milliseconds duration) {
  return format_with(kDurationUnits, static_cast<std::uint64_t>(duration.count()));
}

}  // namespace backedpipe
