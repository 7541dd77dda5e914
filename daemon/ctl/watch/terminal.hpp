// The terminal as a screen and a keyboard, through ncurses. Only one object at a time, on one
// thread; the destructor restores the terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/checked.hpp"
#include "daemon/ctl/watch/layout.hpp"

struct screen;  // ncurses' SCREEN

namespace backedpipe::ctl {

// Why standard input and output cannot be used as a screen and keyboard; nothing if they can.
std::optional<std::string> why_no_screen();

class Terminal {
 public:
  struct Key {
    enum class Kind { letter, move, quit, other };
    Kind kind = Kind::other;
    char letter = 0;                               // of a letter
    WatchModel::Move move = WatchModel::Move::up;  // of a move
  };

  // Uses colours if the terminal has them, unless $NO_COLOR is set (no-color.org). Throws
  // std::runtime_error, but not if why_no_screen() has returned nothing.
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  ScreenSize size() const;
  // After SIGWINCH: takes the new size.
  void adapt();
  void draw(const std::vector<Line>& picture);
  // Nothing when no key is waiting. Does not block.
  std::optional<Key> read_key();
  // The terminal's other end has been closed.
  bool hung_up() const;

 private:
  struct screen* screen_;
  bool utf8_;
  bool colour_ = false;
};

}  // namespace backedpipe::ctl
