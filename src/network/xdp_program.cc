// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_program.hh"

#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstddef>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <string>
#include <system_error>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"

namespace sidecore::network {

namespace {

constexpr const char* program_name = "sidecore_xsk";
constexpr int linux_enotsupp = 524;  // of the kernel, never meant for us, and in no header

std::array<bpf_insn, 6> instructions_for(int map) noexcept {
    bpf_insn load_queue{};
    load_queue.code = BPF_LDX | BPF_MEM | BPF_W;
    load_queue.dst_reg = BPF_REG_2;
    load_queue.src_reg = BPF_REG_1;
    load_queue.off = offsetof(xdp_md, rx_queue_index);

    bpf_insn load_map{};  // takes two places
    load_map.code = BPF_LD | BPF_IMM | BPF_DW;
    load_map.dst_reg = BPF_REG_1;
    load_map.src_reg = BPF_PSEUDO_MAP_FD;
    load_map.imm = map;

    bpf_insn load_otherwise{};
    load_otherwise.code = BPF_ALU64 | BPF_MOV | BPF_K;
    load_otherwise.dst_reg = BPF_REG_3;
    load_otherwise.imm = XDP_PASS;

    bpf_insn redirect{};
    redirect.code = BPF_JMP | BPF_CALL;
    redirect.imm = BPF_FUNC_redirect_map;

    bpf_insn leave{};
    leave.code = BPF_JMP | BPF_EXIT;

    return {load_queue, load_map, bpf_insn{}, load_otherwise, redirect, leave};
}

/// Of a function of libbpf that returns a descriptor or a negated errno.
Result<Fd> take(int result, std::string_view what) {
    if (result >= 0) {
        return Fd(result);
    }
    if (result == -EPERM) {
        return tl::unexpected<Error>(
            Error{ErrorKind::system,
                  fmt::format("no permission for {}: that takes CAP_BPF and CAP_NET_ADMIN on the host (those of a user "
                              "namespace do not count; AmbientCapabilities= of a systemd unit)",
                              what),
                  EPERM});
    }
    return failure_from_errno(what, -result);
}

/// For a person: the program on an interface.
std::string describe_program(unsigned interface) {
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    if (::bpf_xdp_query(static_cast<int>(interface), 0, &query) != 0) {
        return "another XDP program";
    }
    std::uint32_t id = query.prog_id;
    for (const std::uint32_t other : {query.drv_prog_id, query.skb_prog_id, query.hw_prog_id}) {
        id = id == 0 ? other : id;
    }
    const Fd program(::bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof info;
    if (!program || ::bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0) {
        return fmt::format("the XDP program {}", id);
    }
    if (std::string_view(info.name) == program_name) {
        return fmt::format("the XDP program {} of another device or another sidecored", id);
    }
    return fmt::format("the XDP program {} (\"{}\")", id, info.name);
}

}  // namespace

Result<XdpProgram> XdpProgram::attach(const HostInterface& interface, std::uint32_t queues, bool native_only) {
    SIDECORE_TRY_ASSIGN(Fd map, take(::bpf_map_create(BPF_MAP_TYPE_XSKMAP, program_name, sizeof(std::uint32_t),
                                                      sizeof(int), queues, nullptr),
                                     "making a map of AF_XDP sockets"));
    const auto instructions = instructions_for(map.get());
    SIDECORE_TRY_ASSIGN(const Fd program, take(::bpf_prog_load(BPF_PROG_TYPE_XDP, program_name, "Apache-2.0",
                                                               instructions.data(), instructions.size(), nullptr),
                                               "loading an XDP program"));
    int native_error = 0;
    for (const Hook hook : {Hook::native, Hook::generic}) {
        bpf_link_create_opts options{};
        options.sz = sizeof options;
        options.flags = hook == Hook::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
        const int result = ::bpf_link_create(program.get(), static_cast<int>(interface.index()), BPF_XDP, &options);
        if (result >= 0) {
            if (hook == Hook::generic) {
                spdlog::warn(
                    "{}: its driver cannot run an XDP program ({}), the network stack runs it instead, which is "
                    "slower",
                    interface.name(), std::generic_category().message(native_error));
            }
            return XdpProgram(std::move(map), Fd(result), hook);
        }
        if (result == -EBUSY || result == -EEXIST) {
            return failure(ErrorKind::already_exists,
                           fmt::format("{} is on {} already: remove it (ip link set {} xdp off), or take another "
                                       "interface",
                                       describe_program(interface.index()), interface.name(), interface.name()));
        }
        if (result == -EPERM) {
            SIDECORE_TRY(take(result, fmt::format("attaching an XDP program to {}", interface.name())));
        }
        if (hook == Hook::generic) {
            return failure_from_errno(fmt::format("attaching an XDP program to {}", interface.name()), -result);
        }
        native_error = result == -linux_enotsupp ? EOPNOTSUPP : -result;
        if (native_only) {
            return tl::unexpected(
                Error::from_errno("its driver cannot run an XDP program, which zero-copy needs", native_error)
                    .within(interface.name()));
        }
    }
    return failure(ErrorKind::unsupported, "no way to run an XDP program");
}

Result<void> XdpProgram::redirect(std::uint32_t queue, int socket) const {
    if (const int result = ::bpf_map_update_elem(map_.get(), &queue, &socket, BPF_ANY); result != 0) {
        return failure_from_errno(fmt::format("giving queue {} to its AF_XDP socket", queue), -result);
    }
    return {};
}

}  // namespace sidecore::network
