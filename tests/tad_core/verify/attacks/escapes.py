"""Reaching for the host: files, secrets, processes, the network, the kernel."""

# ruff: noqa: E501 (one attack, one line where it fits)
from __future__ import annotations

from tests.tad_core.verify.attacks import reach

ATTACKS = [
    # The kernel reads the lower 32 bits of which limit is meant. It would set the very limit that there is.
    reach("a limit of CPU time, named by more bits than count",
          "import resource\nfrom ctypes import c_long, c_ulong\n"
          "limits = (c_ulong * 2)(*[n % 2 ** 64 for n in resource.getrlimit(resource.RLIMIT_CPU)])\n"
          "number = 302 if os.uname().machine == 'x86_64' else 261\n"
          "return libc.syscall(c_long(number), c_long(0), c_long(1 << 32), limits, None) == 0"),
    # files
    reach("a file of the host", "return open('{host}/secret').read()"),
    reach("a file of the host for writing", "open('{host}/written', 'w').write('x')\nreturn True"),
    reach("appending to a file of the host", "open('{host}/secret', 'a').write('x')\nreturn True"),
    reach("deleting a file of the host", "os.unlink('{host}/secret')\nreturn True"),
    reach("renaming a file of the host", "os.rename('{host}/secret', '{host}/taken')\nreturn True"),
    reach("the rights of a file of the host", "os.chmod('{host}/secret', 0o777)\nreturn True"),
    reach("the times of a file of the host", "os.utime('{host}/secret', (0, 0))\nreturn True"),
    reach("the existence of a file of the host", "return os.stat('{host}/secret')", tiers=(1,)),
    reach("a folder of the host", "return os.listdir('{host}')"),
    reach("home folders", "return os.listdir('/root') or os.listdir('/home')"),
    reach("passwords", "return open('/etc/shadow').read()"),
    reach("users", "return open('/etc/passwd').read()"),
    reach("a symbolic link to a file of the host",
          "os.symlink('{host}/secret', 'link')\nreturn open('link').read()"),
    reach("a hard link to a file of the host", "os.link('{host}/secret', 'link')\nreturn open('link').read()"),
    reach("up and out", "os.chdir('/')\nreturn open('../../../../..{host}/secret').read()"),
    reach("the Python of the sandbox, for those who come after", "open(os.__file__, 'a').write('# mark')\nreturn True"),
    reach("the system's libraries", "open('/usr/lib/mark', 'w').write('x')\nreturn True"),
    reach("a mark in the root folder", "open('/mark', 'w').write('x')\nreturn True"),
    reach("a mark in shared memory", "open('/dev/shm/tad-mark', 'w').write('x')\nreturn True"),
    reach("a file of shared memory of the host", "return open('/dev/shm/{shm}').read()"),
    reach("a new device", "import stat\nos.mknod('disk', stat.S_IFBLK | 0o600, os.makedev(254, 0))\nreturn True"),
    reach("a disk", "return open('/dev/vda', 'rb').read(1) or open('/dev/sda', 'rb').read(1)"),
    reach("memory of the kernel", "return open('/dev/mem', 'rb').read(1)"),
    # its own limits: each sets what is set already, and may not even that
    *(
        reach(f"its own limit of CPU time, {how}",
              f"""
import resource, struct
number = {{'x86_64': 302, 'aarch64': 261}}[os.uname().machine]
limit = struct.pack('QQ', *resource.getrlimit(resource.RLIMIT_CPU))
words = [ctypes.c_long(word) for word in ({pid}, {what})]
return libc.syscall(ctypes.c_long(number), *words, limit, None) == 0""")
        for how, pid, what in (
            ("plainly", "0", "0"), ("by a number of 64 bits", "0", "1 << 32"), ("by a negative number", "0", "-1 << 32"),
            ("by its process id", "os.getpid()", "0"), ("by a process id of 64 bits", "1 << 32", "0"),
        )
    ),
    # secrets and processes
    reach("environment variables", "return 'TAD_PRIZE' in os.environ or len(os.environ) > 0"),
    reach("the environment behind Python", "libc.getenv.restype = ctypes.c_char_p\nreturn libc.getenv(b'TAD_PRIZE')"),
    reach("the environment of process 1", "return open('/proc/1/environ', 'rb').read()"),
    reach("the environment of its parent", "return open(f'/proc/{os.getppid()}/environ', 'rb').read()"),
    reach("the list of processes", "return [n for n in os.listdir('/proc') if n.isdigit()]"),
    reach("a process of the host", "os.kill({victim}, 0)\nreturn True"),
    reach("killing a process of the host", "os.kill({victim}, 9)\nreturn True"),
    reach("killing everything", "os.kill(-1, 9)\nreturn True"),
    reach("killing its parent", "os.kill(os.getppid(), 9)\nreturn True"),
    reach("signals by way of a file",
          "import fcntl\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, {victim})\nfcntl.fcntl(r, 10, 9)\nreturn True"),
    reach("signals by system call", "return libc.syscall(62, {victim}, 9) == 0 or libc.syscall(234, {victim}, {victim}, 9) == 0"),
    reach("a handle on a process", "return libc.syscall(434, {victim}, 0) >= 0"),
    reach("tracing a process", "return libc.ptrace(16, {victim}, 0, 0) == 0"),
    reach("being traced", "return libc.ptrace(0, 0, 0, 0) == 0"),
    reach("memory of another process",
          "class V(ctypes.Structure): _fields_ = [('b', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
          "b = ctypes.create_string_buffer(8)\nl = V(ctypes.addressof(b), 8)\nr = V(0x400000, 8)\n"
          "return libc.process_vm_readv({victim}, ctypes.byref(l), 1, ctypes.byref(r), 1, 0) > 0"),
    reach("limits of another process", "import resource\nreturn resource.prlimit({victim}, resource.RLIMIT_NOFILE)"),
    reach("priority of another process", "os.setpriority(os.PRIO_PROCESS, {victim}, 19)\nreturn True"),
    reach("processors of another process", "os.sched_setaffinity({victim}, [0])\nreturn True"),
    reach("root", "os.setuid(0)\nreturn True"),
    reach("being root", "return os.getuid() == 0 or os.geteuid() == 0"),
    reach("other groups", "os.setgroups([0])\nreturn True"),
    reach("capabilities",
          "import struct\nh = struct.pack('<Ii', 0x20080522, 0)\nreturn libc.capset(h, b'\\xff' * 24) == 0"),
    reach("a set-uid program", "os.execv('/usr/bin/su', ['su', '-c', 'id'])"),
    reach("a program from memory",
          "fd = os.memfd_create('x')\nos.write(fd, open('/usr/lib/os-release', 'rb').read())\nreturn True"),
    reach("spawning", "return os.posix_spawn('/bin/true', ['true'], dict())"),
    reach("vfork by system call", "return libc.syscall(58) > 0"),
    reach("clone by system call", "return libc.syscall(56, 17, 0, 0, 0, 0) > 0"),
    # namespaces and the kernel
    reach("a user namespace", "return libc.unshare(0x10000000) == 0"),
    reach("a user namespace by clone", "return libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) > 0"),
    reach("another mount namespace", "return libc.unshare(0x20000) == 0"),
    reach("a mount", "return libc.mount(b'none', b'/', b'tmpfs', 0, None) == 0"),
    reach("unmounting", "return libc.umount2(b'/tmp', 2) == 0"),
    reach("another root", "os.chroot('/tmp')\nreturn True"),
    reach("a BPF program", "return libc.syscall(321, 0, b'\\0' * 64, 64) >= 0"),
    reach("performance counters", "return libc.syscall(298, b'\\0' * 120, 0, -1, -1, 0) >= 0"),
    reach("io_uring", "return libc.syscall(425, 8, b'\\0' * 120) >= 0"),
    reach("userfaultfd", "return libc.syscall(323, 0) >= 0"),
    reach("keys", "return libc.syscall(248, b'user', b'tad', b'x', 1, -3) >= 0"),
    reach("the kernel's messages", "return libc.klogctl(3, ctypes.create_string_buffer(64), 64) > 0"),
    reach("the name of the host", "return libc.sethostname(b'x', 1) == 0"),
    reach("the clock", "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)\nreturn True"),
    reach("loosening the filter", "return libc.prctl(22, 0, 0, 0, 0) == 0 or libc.prctl(38, 0, 0, 0, 0) == 0"),
    # the network and other ways of talking
    reach("a TCP connection to the host", "import socket\nreturn socket.create_connection(('127.0.0.1', {port}), 1)"),
    reach("a listening socket", "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nreturn True"),
    reach("a UDP packet",
          "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))\nreturn True"),
    reach("a raw socket", "import socket\nreturn socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    reach("the name service", "import socket\nreturn socket.gethostbyname('example.com')"),
    reach("an abstract socket of the host",
          "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0{abstract}')\nreturn True"),
    reach("a socket in a folder of the host",
          "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('{host}/socket')\nreturn True"),
    reach("netlink", "import socket\nreturn socket.socket(16, socket.SOCK_RAW, 0)"),
    reach("a socket by system call", "return libc.syscall(41, 2, 1, 0) >= 0"),
    reach("a pair of network sockets", "import socket\nreturn socket.socketpair(socket.AF_INET)"),
    reach("shared memory of System V", "return libc.shmget({shmkey}, 4096, 0) >= 0"),
    reach("new shared memory of System V", "return libc.shmget(0x7AD0FF, 4096, 0o1666) >= 0"),
    reach("a message queue", "return libc.msgget(0x7AD0FF, 0o1666) >= 0"),
    reach("typing into a terminal", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')\nreturn True"),
    reach("descriptors of its parent",
          "for fd in range(5, 1024):\n    try: os.fstat(fd)\n    except OSError: continue\n    return True"),
]  # fmt: skip
