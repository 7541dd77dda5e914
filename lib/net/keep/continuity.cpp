#include "net/keep/continuity.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/keep/environment.hpp"

namespace backedpipe {
namespace {

constexpr const char* kVaultPut = "backedpipe-vault-put";
constexpr const char* kVaultTake = "backedpipe-vault-take";
constexpr const char* kLedger = "backedpipe-ledger-";

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

// The number in a ledger's name; nothing for any other name.
std::optional<std::uint64_t> number_of(const std::string& name) {
  if (name.rfind(kLedger, 0) != 0) return std::nullopt;
  return whole_number(std::string_view(name).substr(std::strlen(kLedger)));
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
  // A process that was killed while it restored leaves a ledger that is not complete: the one
  // before it still counts.
  std::optional<LedgerFileView> left;
  std::uint64_t left_number = 0;
  std::uint64_t highest = 0;
  std::vector<std::string> old_names;
  for (const std::string& name : kept.names()) {
    const auto number = number_of(name);
    if (!number) continue;
    old_names.push_back(name);
    highest = std::max(highest, *number);
    for (const int descriptor : kept.take(name)) {
      auto view = LedgerFileView::map(descriptor);
      ::close(descriptor);
      if (!view) {
        spdlog::error("the kept descriptor \"{}\" cannot be used: {}", name, view.error());
      } else if (view->complete() && (!left || *number > left_number)) {
        left.emplace(std::move(*view));
        left_number = *number;
      }
    }
  }
  auto ends = kept_ends(kept);
  const bool made = !ends;
  if (made) ends = Vault::make_ends();
  if (!ends)
    return Begun::failure("no vault for connections: " + std::string(std::strerror(errno)));
  const std::string name = kLedger + std::to_string(highest + 1);
  std::unique_ptr<Continuity> begun;
  try {
    begun.reset(new Continuity(std::move(keeper), *ends, name, sizes));
  } catch (const std::system_error& error) {
    ::close(ends->put);
    ::close(ends->take);
    return Begun::failure("no memory that outlives the process: " + std::string(error.what()));
  }
  const int ledger = begun->file_.descriptor();
  const bool is_kept =
      begun->keeper_.keep(name, {&ledger, 1}) &&
      (!made || (begun->keeper_.keep(kVaultPut, {&begun->vault_.ends().put, 1}) &&
                 begun->keeper_.keep(kVaultTake, {&begun->vault_.ends().take, 1})));
  if (!is_kept) return Begun::failure("the service manager takes no descriptors");
  if (left) begun->left_.emplace(std::move(*left));
  begun->old_names_ = std::move(old_names);
  return begun;
}

void Continuity::taken_over() {
  file_.complete();
  left_.reset();
  for (const std::string& name : old_names_)
    static_cast<void>(keeper_.drop(name));
  old_names_.clear();
  static_cast<void>(vault_.compact());
}

}  // namespace backedpipe
