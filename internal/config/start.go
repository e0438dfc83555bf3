package config

import (
	"fmt"
	"net/netip"
)

// NewAgentFile returns an agent.xml to begin with, which explains itself. An
// address that is not valid is left out of it.
func NewAgentFile(local, monitor netip.AddrPort) []byte {
	return fmt.Appendf(nil, agentStart,
		element("local_host", local, "10.0.0.7:7701"), element("monitor_host", monitor, "10.0.0.5:7700"))
}

// NewMonitorFile returns a monitor.xml to begin with, likewise, without hosts.
func NewMonitorFile(local netip.AddrPort) []byte {
	return fmt.Appendf(nil, monitorStart, element("local_host", local, "10.0.0.5:7700"))
}

// NewOperatorFile returns the monitor.xml of an operator's machine: where the
// monitor is, and the hosts with their names and groups.
func NewOperatorFile(monitor netip.AddrPort, hosts []Host) []byte {
	p := place{newline: "\n", indent: "  ", step: "  "}
	b := fmt.Appendf(nil, operatorStart, monitor)
	for _, h := range hosts {
		b = append(b, p.indent+hostText(Host{Name: h.Name, Address: h.Address, Groups: h.Groups}, 0, p)+"\n"...)
	}
	return append(b, "</monitor>\n"...)
}

// element returns an address in its element, or the example in a comment.
func element(name string, addr netip.AddrPort, example string) string {
	if !addr.IsValid() {
		return fmt.Sprintf("<!-- <%s>%s</%s> -->", name, example, name)
	}
	return fmt.Sprintf("<%s>%s</%s>", name, addr, name)
}

const agentStart = `<?xml version="1.0" encoding="UTF-8"?>
<!-- What dtc-agent does on this host. After a change: dtc-agent reload. -->
<agent>
  <!-- The ip:port that the agent listens on. Without it, it only ships logs. -->
  %s

  <!-- The ip:port of the monitor that gets the logs. Without it, none are shipped. -->
  %s

  <!-- Seconds between two scans for new and rotated files, beside the system's own notices. -->
  <scan_file_time>3</scan_file_time>

  <!-- The log files to follow, one a line: PATH,ALIAS. The copy is logs/IP/ALIAS at the monitor.
       A path with *, ? or ** may match many files: then the alias has to hold {name}, the file's
       name, and may hold {dir}, its folder's. from="end": without what a file holds already.

    <file_alias>/var/log/app.log,app.log</file_alias>
    <file_alias from="end">/srv/*/*.log,{dir}-{name}</file_alias>
  -->
  <monitor_files>
  </monitor_files>
</agent>
`

const operatorStart = `<?xml version="1.0" encoding="UTF-8"?>
<!-- What dtc knows of the fleet on an operator's machine. The fleet itself is the monitor's. -->
<monitor>
  <!-- Where the monitor is: the commands that need its service go there. -->
  <local_host>%s</local_host>

  <!-- The hosts as they were when this was made. -->
`

const monitorStart = `<?xml version="1.0" encoding="UTF-8"?>
<!-- What dtc knows of the fleet. After a change: dtc reload. -->
<monitor>
  <!-- The ip:port that dtc serve listens on. Without it, no logs are received. -->
  %s

  <!-- Seconds between two routine checks of a watched process that are written to its log. -->
  <detect_interval_time>3600</detect_interval_time>

  <!-- The hosts. dtc-agent join and dtc issue add them here.

  <remote_host>
    <ip_port>10.0.0.7:7701</ip_port>                     of its agent
    <name>web1</name>                                    what to call it; else its ip:port
    <group>web</group>                                   to select it by; as many as you like
    <monitor_pid>812,1044</monitor_pid>                  processes to watch, by their pids
    <monitor_process name="web" match="nginx: master"/>  and by what they are
    <detect_interval_time>60</detect_interval_time>      for this host alone
  </remote_host>

       Processes that are to be there on every host, or on one if it stands in it. What each line
       matches now: dtc watch preview. Just one of match (a regular expression on the command
       line), exe, pidfile, unit and port; user, min, max and restart_within (seconds) as you like.

  <monitor_process name="ssh" exe="sshd" user="root" min="1" restart_within="10"/>

       Who is told of what: hosts, groups, rules and states; without "for" all that goes wrong. To
       try it: dtc notify test. Ways: webhook, slack, dingtalk, feishu, wecom, telegram, email,
       alertmanager, syslog, exec. A value may be file=PATH, and then is what that file holds.

  <notify name="ops" for="web,db*,dead,unreachable" remind="3600">
    <webhook url="http://10.0.0.9/dtc" secret="file=conf/hook.key"/>
  </notify>

       How much is kept of the copies of followed files: all, or what a line says whose alias
       matches; the first counts, and those in a remote_host come before these.

  <retention size="2GB" alias="*debug*"/>
  <retention size="10GB" age="30d"/>

       When nobody is told. Now and at once: dtc silence.

  <maintenance for="web" days="sat,sun" from="22:00" to="06:00"/>
  <maintenance start="2026-11-22T22:00" end="2026-11-23T02:00"/>
  -->
</monitor>
`
