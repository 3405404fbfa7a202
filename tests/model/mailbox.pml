// SPDX-License-Identifier: Apache-2.0
// A worker's mailbox: several threads post and wait for the answer, the worker looks at pending() in every pass and sleeps in
// epoll_wait. Every command is answered, and an idle worker sleeps. README.md has the rest; macros that are asked for here take
// a piece away or swap two, to see it missed.

#define POSTERS 2

bool posted[POSTERS];  // Mailbox::commands_, under its mutex
bool pending;
bool readable;  // the eventfd's count is not 0; epoll reports it again and again until it is read
bool answered[POSTERS];

bool never_answered;  // assigned just before it is asserted, so that the verifier says by name what failed

// ---- mailbox.cc ----

inline signal() {
    readable = true
}

inline post() {
#ifdef SIGNAL_BEFORE_POST
    signal();
#endif
    atomic { posted[me] = true; pending = true };
#ifndef SIGNAL_BEFORE_POST
    signal()
#endif
}

inline clear() {
    readable = false
}

inline take_and_run() {
#ifndef TAKE_BEFORE_CLEAR
    clear();
#endif
    atomic {
        pending = false;
        do
        :: posted[0] -> posted[0] = false; answered[0] = true
        :: posted[1] -> posted[1] = false; answered[1] = true
        :: !posted[0] && !posted[1] -> break
        od
    };
#ifdef TAKE_BEFORE_CLEAR
    clear()
#endif
}

// ---- the threads ----

proctype Poster(bit me) {
    do
    :: post();
       atomic { answered[me] -> answered[me] = false }
    :: break
    od
}

proctype Worker() {
    bool listed;  // some queue keeps it awake
    do
    :: if
       :: pending ->
progress_commands:
          take_and_run();
          if
          :: listed = true
          :: skip
          fi
       :: !pending
       fi;
       if
       :: listed ->
progress_polling:
          if
          :: listed = false
          :: skip
          fi
       :: !listed ->
end_asleep:
          readable;
#ifndef LEAVE_READABLE
          clear()  // on_event()
#endif
       fi
    od
}

// Nothing can move any more.
proctype AtRest() {
end:
    atomic {
        timeout ->
        never_answered = (posted[0] || posted[1]);
        assert(!never_answered)
    }
}

init {
    atomic {
        run Poster(0);
        run Poster(1);
        run Worker();
        run AtRest()
    }
}
