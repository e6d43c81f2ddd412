package api

// Person is somebody who can sign in, or is invited to.
type Person struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Email      string   `json:"email"`
	Role       string   `json:"role" enum:"owner,manager,viewer,support"`
	Sites      []string `json:"sites" nullable:"true" doc:"Null: every site. Otherwise the IDs of the sites that the person is limited to."`
	State      string   `json:"state" enum:"invited,active"`
	LastSeenUs int64    `json:"last_seen_us,omitempty" doc:"Absent: never."`
	CreatedUs  int64    `json:"created_us"`
}

// People is a page of people, ordered by name.
type People struct {
	People []Person `json:"people" nullable:"false"`
	Next   string   `json:"next,omitempty" doc:"Give it as 'after' to get the next page; absent at the end."`
}

// NewPerson invites somebody.
type NewPerson struct {
	Name  string   `json:"name" minLength:"1" maxLength:"512" doc:"At most 128 characters."`
	Email string   `json:"email" minLength:"3" maxLength:"254"`
	Role  string   `json:"role" enum:"owner,manager,viewer,support"`
	Sites []string `json:"sites,omitempty" nullable:"true" maxItems:"5000" doc:"Null or absent: every site. An owner always has every site."`
}

// Invited answers an invitation or a reset: give the link to the person by a way that you trust.
type Invited struct {
	Person    Person `json:"person"`
	Link      string `json:"link" doc:"One-time link to set the password; it is shown only now."`
	ExpiresUs int64  `json:"expires_us"`
}

// PersonPatch changes a person; absent fields stay. Sessions of the person end when role or sites change.
type PersonPatch struct {
	Name     *string   `json:"name,omitempty" minLength:"1" maxLength:"512"`
	Role     *string   `json:"role,omitempty" enum:"owner,manager,viewer,support"`
	Sites    *[]string `json:"sites,omitempty" nullable:"false" maxItems:"5000" doc:"Limit the person to these sites."`
	AllSites *bool     `json:"all_sites,omitempty" doc:"True: every site, now and later."`
}

// AuditRow is one line of the audit.
type AuditRow struct {
	Seq        int64  `json:"seq" doc:"From 1 without a hole."`
	AtUs       int64  `json:"at_us"`
	Person     string `json:"person" doc:"ID; empty when nobody was signed in."`
	PersonName string `json:"person_name" doc:"Name as it was then."`
	Action     string `json:"action"`
	Target     string `json:"target" doc:"ID of what was seen or changed."`
	Site       string `json:"site,omitempty"`
	Detail     string `json:"detail"`
	IP         string `json:"ip"`
}

// Audit is a page of the audit, newest first.
type Audit struct {
	Rows  []AuditRow `json:"rows" nullable:"false"`
	Next  string     `json:"next,omitempty" doc:"Give it as 'before' to get older rows; absent at the end."`
	Chain string     `json:"chain" doc:"'ok', or the first row that was changed after it was written: 'broken at row 17: ...'."`
}
