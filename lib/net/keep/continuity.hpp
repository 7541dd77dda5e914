// Continuity: everything of a process that its next one continues with, and what the one before it
// has left: the vault, the ledger, and whoever keeps both. Without a keeper there is none, and
// sessions end with their process. Owned by the Node, on its thread; it outlives the workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/keep/keeper.hpp"
#include "net/keep/kept_descriptors.hpp"
#include "net/keep/ledger_file.hpp"
#include "net/keep/vault.hpp"
#include "net/keep/worker_ledger.hpp"

namespace backedpipe {

class Continuity {
 public:
  // Makes a new ledger and has it kept, and a vault if none was kept. The error is a sentence for
  // people.
  static Checked<std::unique_ptr<Continuity>> begin(Keeper keeper, KeptDescriptors& kept,
                                                    const LedgerSizes& sizes);

  // As Keeper::keep() and drop(), but they wait a moment for a keeper that is busy, and log it if
  // that was in vain: then what is not kept is made anew by the next process.
  void keep(const std::string& name, std::span<const int> descriptors) const;
  void drop(const std::string& name) const;
  Vault& vault() { return vault_; }
  WorkerLedger& ledger(std::size_t worker) { return *ledgers_[worker]; }
  LedgerFile& file() { return file_; }

  // What the process before this one has left; null if there was none.
  const LedgerFileView* left() const { return left_ ? &*left_ : nullptr; }
  // All of that has been restored, or was given up: from now on this process's own ledger counts,
  // and what is in the vault and was not adopted is closed.
  void taken_over();

 private:
  Continuity(Keeper keeper, VaultEnds ends, const std::string& name, const LedgerSizes& sizes);

  Keeper keeper_;
  Vault vault_;
  LedgerFile file_;
  std::vector<std::unique_ptr<WorkerLedger>> ledgers_;
  std::optional<LedgerFileView> left_;
  std::optional<std::string> old_name_;  // of the ledger that is left
};

}  // namespace backedpipe
