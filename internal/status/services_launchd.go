package status

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"howett.net/plist"

	"dtc"
)

// What launchd is asked about without asking it: its jobs' files and the
// processes that it started. It stands in a file for all systems so that it is
// tested on all of them.

const (
	maxJobFile      = 128 << 10 // bytes; those of the system have 2,000
	maxJobArguments = 1000      // of a process
)

// launchJob is what matters here of a job's file, see launchd.plist(5).
type launchJob struct {
	Label            string
	Program          string
	ProgramArguments []string
}

// program is the path of the job's program.
func (j *launchJob) program() string {
	if j.Program == "" && len(j.ProgramArguments) > 0 {
		return j.ProgramArguments[0]
	}
	return j.Program
}

// arguments are those that a process of the job has, its name among them.
func (j *launchJob) arguments() []string {
	if len(j.ProgramArguments) == 0 {
		return []string{j.Program}
	}
	return j.ProgramArguments
}

// launchJobs reads the jobs of which files stand in folders. Of two with one
// label the first counts, as for launchd.
func launchJobs(folders ...string) (jobs []launchJob, notes []string) {
	seen := make(map[string]bool)
	unread := 0
	for _, folder := range folders {
		files, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			notes = append(notes, err.Error())
		}
		for _, file := range files {
			if filepath.Ext(file.Name()) != ".plist" || len(jobs) == maxServices {
				continue
			}
			job, err := readJob(filepath.Join(folder, file.Name()))
			switch {
			case err != nil:
				unread++
			case !seen[job.Label]:
				seen[job.Label] = true
				jobs = append(jobs, job)
			}
		}
	}
	if unread > 0 {
		notes = append(notes, fmt.Sprintf("%d files of jobs could not be read", unread))
	}
	return jobs, notes
}

// readJob reads one file.
func readJob(path string) (launchJob, error) {
	info, err := os.Stat(path)
	if err != nil {
		return launchJob{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxJobFile {
		return launchJob{}, fmt.Errorf("read job %s: it is no file of a job", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return launchJob{}, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxJobFile))
	if err != nil {
		return launchJob{}, err
	}
	job, err := parseJob(data)
	if err != nil {
		return launchJob{}, fmt.Errorf("read job %s: %w", path, err)
	}
	return job, nil
}

// parseJob reads a property list, be it XML or binary.
func parseJob(data []byte) (job launchJob, err error) {
	defer func() {
		// The library lets run time errors of its parsers through.
		if p := recover(); p != nil {
			err = fmt.Errorf("property list: %v", p)
		}
	}()
	if _, err := plist.Unmarshal(data, &job); err != nil {
		return launchJob{}, err
	}
	if job.Label == "" {
		return launchJob{}, errors.New("property list: it has no Label")
	}
	return job, nil
}

// launchProcess is a process that launchd started.
type launchProcess struct {
	pid       int
	since     time.Time
	program   string
	arguments []string
}

// parseProcessArguments reads what sysctl kern.procargs2 tells of a process: the
// number of its arguments, the path of its program, zeros, and the arguments.
func parseProcessArguments(data []byte) (program string, arguments []string) {
	const number = 4
	if len(data) < number {
		return "", nil
	}
	count := min(binary.LittleEndian.Uint32(data), maxJobArguments)
	path, rest, _ := bytes.Cut(data[number:], []byte{0})
	rest = bytes.TrimLeft(rest, "\x00")
	for ; count > 0 && len(rest) > 0; count-- {
		var argument []byte
		argument, rest, _ = bytes.Cut(rest, []byte{0})
		arguments = append(arguments, string(argument))
	}
	return string(path), arguments
}

// launchServices finds the process of each job: the one that runs the job's
// program, and where several jobs have one program, the one that has the job's
// arguments too.
func launchServices(jobs []launchJob, running []launchProcess) []dtc.Service {
	shared := make(map[string]int)
	for i := range jobs {
		shared[jobs[i].program()]++
	}
	processes := make(map[string][]launchProcess)
	for _, p := range running {
		processes[p.program] = append(processes[p.program], p)
	}
	services := make([]dtc.Service, len(jobs))
	for i := range jobs {
		job, program := &jobs[i], jobs[i].program()
		s := &services[i]
		*s = dtc.Service{
			Name: job.Label, State: serviceInactive, SubState: serviceDead, PID: dtc.Absent, Description: program,
		}
		found := slices.IndexFunc(processes[program], func(p launchProcess) bool {
			return shared[program] == 1 || slices.Equal(p.arguments, job.arguments())
		})
		if program != "" && found >= 0 {
			p := processes[program][found]
			s.State, s.SubState, s.PID, s.Since = serviceActive, serviceRunning, p.pid, p.since
		}
	}
	slices.SortFunc(services, func(x, y dtc.Service) int { return compareNames(x.Name, y.Name) })
	return services
}
