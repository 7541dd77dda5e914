// WorkerLedger: one worker's part of what the next process will need: its section of the
// LedgerFile, and the process's Vault. Used on the worker's thread, but for the vault, which has a
// lock of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "net/keep/ledger_file.hpp"
#include "net/keep/vault.hpp"
#include "net/socket/application_socket.hpp"
#include "pipe/ledger.hpp"

namespace backedpipe {

class WorkerLedger final : public SecondReference {
 public:
  WorkerLedger(const LedgerFile::Section& section, Vault& vault)
      : section_(section), ledger_(section.records, section.links), vault_(vault) {}

  Ledger& ledger() { return ledger_; }
  Vault& vault() { return vault_; }
  // For the outbound bytes.
  std::span<std::byte> arena() const { return section_.arena; }

  // --- the names of sessions

  // Records the text, and returns its number; nothing if there are too many, or it is too long.
  std::optional<std::uint32_t> record_label(std::string_view text);
  // The text is not needed any more.
  void forget_label(std::uint32_t number) { free_labels_.push_back(number); }

  // An application's connection is about to be closed.
  void forget(int socket) override { vault_.forget(socket); }

 private:
  LedgerFile::Section section_;
  Ledger ledger_;
  Vault& vault_;
  std::vector<std::uint32_t> free_labels_;
  std::uint32_t next_label_ = 0;
};

}  // namespace backedpipe
