"""System calls that a running process is made to do, as an attacker's code in it would: what comes back is what the kernel says to that very process."""
import ctypes
import os
import pathlib
import platform
import signal

import pytest

from waiting import until

PTRACE_PEEKTEXT, PTRACE_POKEDATA, PTRACE_SINGLESTEP, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SYSCALL = 1, 5, 9, 12, 13, 16, 17, 24
# struct user_regs_struct of x86-64, in its order
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()
ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
CALLS = {"read": 0, "write": 1, "mmap": 9, "mprotect": 10, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "socket": 41, "connect": 42, "bind": 49, "fork": 57, "execve": 59, "kill": 62, "ptrace": 101, "openat": 257}
SCRATCH_BELOW_STACK = 4096
WAITING = {"7", "232", "271", "281", "441"}  # poll, epoll_wait, ppoll, epoll_pwait, epoll_pwait2


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


class Ended(Exception):
    """The process was ended by a signal: .number."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request, pid, address=None, data=None):
    ctypes.set_errno(0)
    result = _libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Captured:
    """with Captured(proxyd, pid) as worker: worker.call("openat", -100, b"/etc/passwd", 0) -> result, or -errno. The process goes on afterwards, if it still is."""

    def __init__(self, program, pid):
        if platform.machine() != "x86_64":
            pytest.skip("written for x86-64")
        self.pid, self.attached = pid, False
        program.captured = True

    def __enter__(self):
        # Between two calls there is no instruction to borrow: it is taken where it waits for events.
        pending = pathlib.Path(f"/proc/{self.pid}/syscall")
        until(f"process {self.pid} to wait", lambda: pending.read_text().split()[0], lambda call: call in WAITING)
        try:
            _ptrace(PTRACE_ATTACH, self.pid)
        except PermissionError:
            pytest.skip("needs to be root to trace a hardened process")
        self._wait()
        self.attached = True
        self.saved = Registers()
        _ptrace(PTRACE_GETREGS, self.pid, None, ctypes.addressof(self.saved))
        if _ptrace(PTRACE_PEEKTEXT, self.pid, self.saved.rip - 2) & 0xFFFF != 0x050F:
            self.__exit__()
            pytest.fail(f"{self.pid} woke up before it was taken")
        return self

    def __exit__(self, *exc):
        if self.attached:
            _ptrace(PTRACE_SETREGS, self.pid, None, ctypes.addressof(self.saved))
            _ptrace(PTRACE_DETACH, self.pid)

    def _wait(self):
        _, status = os.waitpid(self.pid, 0x40000000)  # __WALL: it is no child of ours
        if os.WIFSIGNALED(status):
            self.attached = False
            raise Ended(os.WTERMSIG(status))
        return os.WSTOPSIG(status)

    def _put(self, data, at):
        data += bytes(8 - len(data) % 8)
        for i in range(0, len(data), 8):
            _ptrace(PTRACE_POKEDATA, self.pid, at + i, int.from_bytes(data[i : i + 8], "little"))

    def call(self, name, *arguments):
        registers = Registers.from_buffer_copy(self.saved)
        at = (self.saved.rsp - SCRATCH_BELOW_STACK) & ~15
        for register, value in zip(ARGUMENTS, arguments):
            if isinstance(value, bytes):
                self._put(value + b"\0", at)
                value, at = at, at - 256
            setattr(registers, register, value & (2**64 - 1))
        registers.rax, registers.orig_rax, registers.rip = CALLS[name], 2**64 - 1, self.saved.rip - 2
        _ptrace(PTRACE_SETREGS, self.pid, None, ctypes.addressof(registers))
        _ptrace(PTRACE_SINGLESTEP, self.pid)
        stopped = self._wait()
        if stopped == signal.SIGSYS:
            self._run_handler()
        else:
            assert stopped == signal.SIGTRAP, signal.Signals(stopped)
        _ptrace(PTRACE_GETREGS, self.pid, None, ctypes.addressof(registers))
        return ctypes.c_longlong(registers.rax).value

    def _run_handler(self):
        """The call was refused: the process is told so by a signal, whose handler says it in the log and decides what comes back."""
        registers, passed = Registers(), signal.SIGSYS
        for _ in range(100):
            _ptrace(PTRACE_SYSCALL, self.pid, None, passed)
            passed = self._wait()
            if passed == signal.SIGTRAP:
                passed = 0
                _ptrace(PTRACE_GETREGS, self.pid, None, ctypes.addressof(registers))
                if registers.orig_rax == CALLS["rt_sigreturn"]:
                    _ptrace(PTRACE_SYSCALL, self.pid)
                    self._wait()
                    return
        pytest.fail("the handler does not return")
