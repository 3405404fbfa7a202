// SPDX-License-Identifier: Apache-2.0
// The switch protocol: a driver, two workers and a control thread around one virtqueue, for ever. Names are those of the code.
// README.md says what is modelled, what is not, and why; `run` checks it, once with EVENT_INDEX (suppression by
// VIRTIO_F_EVENT_IDX instead of the flag) and once without. Every other macro that is asked for here takes a piece of the
// protocol away, to see it missed.
//
// An atomic block reads one thing that others write, or several whose order nobody can tell.

// ---- indexes: as in the rings with fewer bits; the largest ring is half of their range, as in life ----
// They are counted from the used index, which is therefore always 0: after a completion the others are nearer to it.

#ifndef SLOTS
#define SLOTS 1  // requests that the device can have in flight: fewer than the ring holds, so that queues get held
#endif
#define RING_SIZE (SLOTS + 1)
#define INDEX_RANGE (2 * RING_SIZE)
#define REFRESH_DISTANCE (INDEX_RANGE / 4)  // event_refresh_distance

#define index_plus(index, count) (((index) + (count)) % INDEX_RANGE)
#define index_distance(later, earlier) (((later) + INDEX_RANGE - (earlier)) % INDEX_RANGE)

// ---- guest memory: what a thread stores lies in its store buffer first, and Machine makes it visible later ----
// A buffer has one entry: what is overwritten there was never seen.

byte available;         // the available index as memory has it,
byte available_stored;  // and as the driver has stored it
byte wish;              // used.flags (as 1: kick me, 0: do not) or avail_event, as memory has it,
byte wish_stored;       // and as the queue's owner has stored it

// ---- kernel ----

#define nobody 2
#define other(worker) (1 - (worker))

bool kick_count;           // of the kick eventfd: 0, or more. Nobody reads it, so it never goes down
bool kick_edge;            // that epoll_wait has not reported yet
byte watcher = nobody;     // the worker whose epoll set has the kick and the completion descriptor
bool mailbox_readable[2];  // the workers' mailbox eventfds

// ---- storage ----

byte finished;  // of the requests in flight. While it is not 0 the completion descriptor is readable

// ---- commands: one control thread that waits for every answer ----

mtype = { nothing, take_in, take_out, set_polled, set_notified, quiesce, stop };

mtype command = nothing;
bool pending[2];  // Mailbox::pending()
bool answered;

// ---- the queue and its seat, which move from worker to worker as they are ----

bool here[2];  // among the seats of this worker
byte next;     // SplitQueue::next_available_
bool polled;   // the mode
bool listed;
bool armed;
bool held;
bool reaping;
mtype draining = nothing;  // or the command that waits for in-flight I/O
bool stopped;              // detach() is over

#define in_flight next
#define has_work (available != next)

// ---- what must never be true. Assigned just before it is asserted, so that the verifier says by name what failed ----

bool two_owners;
bool touched_after_stop;
bool taken_while_draining;
bool stopped_with_work_in_flight;
bool lost_wake_up;
bool never_completed;
bool never_answered;

inline touch() {
    two_owners = !here[me] || here[other(me)];
    assert(!two_owners);
    touched_after_stop = stopped;
    assert(!touched_after_stop)
}

// ---- split_queue.cc ----

#ifdef EVENT_INDEX

#define event_before_next index_plus(next, INDEX_RANGE - 1)

#define initial_wish (INDEX_RANGE - 1)
#define wish_for_kicks next
#define wish_for_none (wish_stored == next && !has_work -> event_before_next : wish_stored)
#define kick_wanted (index_distance(available_stored, index_plus(wish, 1)) < batch)  // passed_event()

inline move_event_along() {
    wish_stored = (index_distance(next, wish_stored) > REFRESH_DISTANCE -> event_before_next : wish_stored);
    wish = index_distance(wish, finished);
    wish_stored = index_distance(wish_stored, finished)
}

#else

#define initial_wish 1
#define wish_for_kicks 1
#define wish_for_none 0
#define kick_wanted (wish == 1)
#define move_event_along() skip

#endif

// Completes what is finished: push(), show().
inline complete_finished() {
    if
    :: finished != 0 ->
        move_event_along();
        available = available - finished;
        available_stored = available_stored - finished;
        next = next - finished;
        finished = 0
    :: else
    fi
}

// ---- worker_seats.cc ----

inline disarm() {
    wish_stored = (armed -> wish_for_none : wish_stored);
    armed = false
}

inline list() {
    if
    :: !listed && !held && draining == nothing -> disarm(); listed = true
    :: else
    fi
}

inline drain() {
    touch();
    disarm();
#ifndef NO_UNLIST_ON_DRAIN
    listed = false;
#endif
    draining = command
}

inline take_seat_out() {
    touch();
    disarm();
    watcher = nobody;
    kick_edge = false;
    listed = false;
    reaping = false;
#ifndef NO_ERASE_ON_MOVE
    here[me] = false;
#endif
    wish == wish_stored  // the answer that follows is a release
}

inline take_seat_in() {
    here[me] = true;
    touch();
    watcher = me;
    kick_edge = kick_count;  // adding a descriptor to an epoll set reports what is there
    reaping = (in_flight != 0);
    wish_stored = wish_for_none;  // a new ring asks for kicks
#ifndef NO_LIST_ON_MOVE
    list()
#endif
}

#ifdef NO_WAIT_FOR_IN_FLIGHT
#define drained (draining != nothing)
#else
#define drained (draining != nothing && in_flight == 0)
#endif

inline finish_drains() {
    if
    :: here[me] && drained ->
        touch();
        held = false;
        if
        :: draining == quiesce ->
            draining = nothing;
#ifndef NO_LIST_AFTER_QUIESCE
            list()
#endif
        :: draining == stop ->
            draining = nothing;
            stopped_with_work_in_flight = (in_flight != 0);
            assert(!stopped_with_work_in_flight);
#ifndef NO_TAKE_OUT_ON_STOP
            take_seat_out();
#endif
            stopped = true
        fi;
        answered = true
    :: else
    fi
}

// ---- worker_turn.cc ----

inline pop() {
    touch();
    taken_while_draining = (draining != nothing);
    assert(!taken_while_draining);
    next = next + 1;
    requests = true;
    if
    :: finished = next  // the storage needs no longer than submit()
    :: skip
    fi;
    complete_finished()
}

inline end_serve() {
    if
    :: requests ->
        requests = false;
        found = true;
        if  // whatever the policy decides
        :: polled = true
        :: polled = false
        fi
    :: else
    fi;
    reaping = reaping || in_flight != 0
}

#ifdef NO_RECHECK
#define work_came false
#else
#define work_came has_work
#endif

#ifdef WEAK_BARRIER_WORKER
#define store_load_barrier_of_worker true
#else
#define store_load_barrier_of_worker (wish == wish_stored)
#endif

inline arm() {
    touch();
#ifndef LOOK_BEFORE_ARM
    wish_stored = wish_for_kicks;
#ifdef UNLIST_BEFORE_ARM
    listed = false;
#endif
    store_load_barrier_of_worker;
#endif
    if
    :: work_came ->
#ifndef LOOK_BEFORE_ARM
        wish_stored = wish_for_none;
#endif
        found = true
    :: else ->
#ifdef LOOK_BEFORE_ARM
        wish_stored = wish_for_kicks;
#endif
        armed = true;
        listed = false
    fi
}

// ---- worker_loop.cc ----

inline run_commands() {
    if
    :: pending[me] ->
        mailbox_readable[me] = false;
        pending[me] = false;
        if
        :: command == take_in -> take_seat_in(); answered = true
        :: command == take_out -> take_seat_out(); answered = true
        :: command == set_polled -> touch(); polled = true; list(); answered = true
        :: command == set_notified -> touch(); polled = false; answered = true
        :: command == quiesce || command == stop -> drain()
        fi;
        command = nothing
    :: else
    fi
}

inline reap_pass() {
    if
    :: reaping ->
        touch();
        if
        :: finished != 0 ->
            found = true;
            complete_finished();
#ifndef NO_RESUME
            if
            :: held -> held = false; list()
            :: else
            fi
#endif
        :: else
        fi;
        reaping = (in_flight != 0)
    :: else
    fi
}

#ifdef NO_WATCH_OF_COMPLETIONS
#define completion_event false
#else
#define completion_event (watcher == me && finished != 0)
#endif

#define kick_event (watcher == me && kick_edge)
#define event (mailbox_readable[me] || kick_event || completion_event)

inline take_events() {
    mailbox_readable[me] = false;
    if
    :: completion_event -> reaping = true
    :: else
    fi;
    if
    :: kick_event -> kick_edge = false; list()
    :: else
    fi
}

proctype Worker(bit me) {
    bool found;     // something to do in this pass
    bool requests;  // were taken in this turn
    do
    :: atomic {
           run_commands();
           if
           :: here[me] -> reap_pass(); finish_drains()
           :: else -> goto end_in_kernel
           fi
       };
       if
       :: !listed || !here[me] -> goto after_pass
       :: else
       fi;
       do
       :: atomic { !has_work && polled && !requests -> goto after_pass }  // an empty poll
       :: atomic {
              !has_work && (!polled || requests) ->
              end_serve();
              if
              :: polled -> goto after_pass
              :: else -> break
              fi
          }
       :: atomic { has_work && requests -> end_serve(); goto after_pass }  // the budget is used up
       :: atomic { has_work && in_flight == SLOTS -> end_serve(); held = true; listed = false; goto after_pass }  // full
       :: atomic { has_work && in_flight < SLOTS -> pop() }
       od;
       atomic { arm() };
after_pass:
       if
       :: atomic { found -> found = false }
       :: atomic { found && event -> found = false; goto end_in_kernel }  // housekeeping()
       :: atomic { !found && here[me] && listed };
end_in_spin:
          if
          :: atomic { has_work || pending[me] || finished != 0 }  // looks on for as long as there is nothing to see
          :: atomic { event -> goto end_in_kernel }               // housekeeping(): kicks and completions
          :: atomic { polled = false }                            // housekeeping(): the policy gives up; the next turn arms
          :: atomic { polled = false; arm(); found = false }      // rest()
          fi
       :: atomic { !found && !(here[me] && listed) };
end_in_kernel:
          atomic { event -> take_events() }
       fi
    od
}

// ---- the others ----

#ifdef WEAK_BARRIER_DRIVER
#define store_load_barrier_of_driver true
#else
#define store_load_barrier_of_driver (available == available_stored)
#endif

proctype Driver() {
    byte batch;
    do
    :: atomic {
           available_stored < RING_SIZE ->
           if
           :: batch = 1
           :: available_stored + 2 <= RING_SIZE -> batch = 2
           fi;
           available_stored = available_stored + batch
       };
       if
       :: atomic { store_load_barrier_of_driver && kick_wanted -> batch = 0 };
          atomic { kick_count = true; kick_edge = (watcher != nobody) }
       :: atomic { store_load_barrier_of_driver && !kick_wanted -> batch = 0 }
       fi
    :: break  // no more requests
    od
}

// The control thread, or an endpoint's: commands in any order, or no more of them. Where the queue is, it knows from the answers.
proctype Control() {
    bit worker;
    do
    :: atomic {
           if
           :: watcher == nobody && !stopped -> command = take_in
           :: watcher == worker -> command = set_polled
           :: watcher == worker -> command = set_notified
           :: watcher == worker -> command = quiesce
           :: watcher == worker -> command = take_out
           :: watcher == worker -> command = stop
           fi;
           pending[worker] = true
       };
#ifndef NO_SIGNAL
       mailbox_readable[worker] = true;
#endif
       atomic { answered -> answered = false };
       if
       :: watcher == nobody && !stopped -> worker = other(worker)
       :: true  // not taken out; or it goes back, as after a move that fails
       fi
    :: watcher == worker || stopped -> break
    od
}

// The store buffers and the storage, at their own pace.
proctype Machine() {
end:
    do
    :: atomic { available != available_stored -> available = available_stored }
    :: atomic { wish != wish_stored -> wish = wish_stored }
    :: atomic { finished < in_flight -> finished = finished + 1 }
    od
}

// Nothing can move any more: no more requests and commands, and the worker asleep, or looking at a ring in which nothing changes.
proctype AtRest() {
end:
    atomic {
        timeout ->
        never_answered = (pending[0] || pending[1] || draining != nothing);
        assert(!never_answered);
        never_completed = (in_flight != 0);
        assert(!never_completed);
        lost_wake_up = (!stopped && has_work);
        assert(!lost_wake_up)
    }
}

init {
    atomic {
        wish = initial_wish;
        wish_stored = initial_wish;
        run Machine();
        run Worker(0);
        run Worker(1);
        run Driver();
        run Control();
        run AtRest()
    }
}
