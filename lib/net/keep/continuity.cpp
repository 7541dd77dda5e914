#include "net/keep/continuity.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/keep/environment.hpp"

namespace backedpipe {
namespace {

constexpr const char* kVaultPut = "backedpipe-vault-put";
constexpr const char* kVaultTake = "backedpipe-vault-take";
constexpr const char* kLedger = "backedpipe-ledger-";
constexpr int kTries = 100;
constexpr auto kBetweenTries = std::chrono::milliseconds(2);

// The one descriptor of that name; -1 if there is none. Others of the name are closed.
int take_one(KeptDescriptors& kept, const char* name) {
  const std::vector<int> found = kept.take(name);
  for (std::size_t i = 1; i < found.size(); ++i)
    ::close(found[i]);
  return found.empty() ? -1 : found.front();
}

void close_if_open(int descriptor) {
  if (descriptor >= 0) ::close(descriptor);
}

std::optional<VaultEnds> kept_ends(KeptDescriptors& kept) {
  const VaultEnds ends{take_one(kept, kVaultPut), take_one(kept, kVaultTake)};
  if (ends.put >= 0 && ends.take >= 0 && Vault::are_ends(ends)) return ends;
  close_if_open(ends.put);
  close_if_open(ends.take);
  return std::nullopt;
}

// A keeper's queue holds a few messages only, and is full for a moment after a burst.
template <typename Send>
bool patiently(const Send& send) {
  for (int i = 0; i < kTries; ++i) {
    if (send()) return true;
    std::this_thread::sleep_for(kBetweenTries);
  }
  return false;
}

// The number in a ledger's name; nothing for any other name.
std::optional<std::uint64_t> number_of(const std::string& name) {
  if (name.rfind(kLedger, 0) != 0) return std::nullopt;
  return whole_number(std::string_view(name).substr(std::strlen(kLedger)));
}

// What earlier processes have left. One that was killed while it restored has left a ledger that is
// not complete: the one before it still counts, but for how the starts went.
struct Left {
  std::optional<LedgerFileView> ledger;
  std::string name;  // of that
  CrashLoop crash_loop;
  std::uint64_t highest = 0;  // number of a ledger
  std::vector<std::string> names;
};

Left what_is_left(KeptDescriptors& kept) {
  Left left;
  std::uint64_t number_of_ledger = 0;
  std::uint64_t number_of_crash_loop = 0;
  for (const std::string& name : kept.names()) {
    const auto number = number_of(name);
    if (!number) continue;
    left.names.push_back(name);
    left.highest = std::max(left.highest, *number);
    for (const int descriptor : kept.take(name)) {
      auto view = LedgerFileView::map(descriptor);
      ::close(descriptor);
      if (!view) {
        spdlog::error("the kept descriptor \"{}\" cannot be used: {}", name, view.error());
        continue;
      }
      if (*number >= number_of_crash_loop) {
        left.crash_loop = view->header().crash_loop;
        number_of_crash_loop = *number;
      }
      if (view->complete() && (!left.ledger || *number > number_of_ledger)) {
        left.ledger.emplace(std::move(*view));
        left.name = name;
        number_of_ledger = *number;
      }
    }
  }
  return left;
}

}  // namespace

Continuity::Continuity(Keeper keeper, VaultEnds ends, const std::string& name,
                       const LedgerSizes& sizes)
    : keeper_(std::move(keeper)), vault_(ends), file_(name, sizes) {
  for (std::size_t i = 0; i < sizes.workers; ++i)
    ledgers_.push_back(std::make_unique<WorkerLedger>(file_.section(i), vault_));
}

Checked<std::unique_ptr<Continuity>> Continuity::begin(Keeper keeper, KeptDescriptors& kept,
                                                       const LedgerSizes& sizes) {
  using Begun = Checked<std::unique_ptr<Continuity>>;
  Left left = what_is_left(kept);
  auto ends = kept_ends(kept);
  const bool made = !ends;
  if (made) ends = Vault::make_ends();
  if (!ends)
    return Begun::failure("no vault for connections: " + std::string(std::strerror(errno)));
  const std::string name = kLedger + std::to_string(left.highest + 1);
  std::unique_ptr<Continuity> begun;
  try {
    begun.reset(new Continuity(std::move(keeper), *ends, name, sizes));
  } catch (const std::system_error& error) {
    ::close(ends->put);
    ::close(ends->take);
    return Begun::failure("no memory that outlives the process: " + std::string(error.what()));
  }
  LedgerHeader& header = begun->file_.header();
  header.crash_loop = left.crash_loop;
  header.began_at = left.ledger ? left.ledger->header().began_at : to_nanoseconds(wall_now());
  const int ledger = begun->file_.descriptor();
  const auto keep = [&](const std::string& what, const int& descriptor) {
    return patiently([&] { return begun->keeper_.keep(what, {&descriptor, 1}); });
  };
  const bool is_kept =
      keep(name, ledger) && (!made || (keep(kVaultPut, begun->vault_.ends().put) &&
                                       keep(kVaultTake, begun->vault_.ends().take)));
  if (!is_kept) return Begun::failure("the service manager takes no descriptors");
  // A daemon that cannot start, and tries again and again, must not fill the keeper.
  for (const std::string& old : left.names)
    if (old != left.name) begun->drop(old);
  if (left.ledger) {
    header.processes = left.ledger->header().processes + 1;
    begun->left_.emplace(std::move(*left.ledger));
    begun->old_name_ = left.name;
  }
  return begun;
}

void Continuity::keep(const std::string& name, std::span<const int> descriptors) const {
  if (patiently([&] { return keeper_.keep(name, descriptors); })) return;
  spdlog::warn("the service manager does not take \"{}\" to keep it", name);
}

void Continuity::drop(const std::string& name) const {
  if (patiently([&] { return keeper_.drop(name); })) return;
  spdlog::warn("the service manager does not give up \"{}\"", name);
}

void Continuity::taken_over() {
  file_.complete();
  left_.reset();
  if (old_name_) drop(*old_name_);
  old_name_.reset();
  static_cast<void>(vault_.compact());
}

}  // namespace backedpipe
