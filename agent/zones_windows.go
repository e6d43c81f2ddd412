package agent

import _ "time/tzdata" // Windows has no zones by the names that line.zone takes
