package api

// Wall is a page of cameras of any sites, or several.
type Wall struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Shared    bool       `json:"shared" doc:"Everybody in the organisation who may watch sees it; else its owner alone."`
	Mine      bool       `json:"mine" doc:"The person who asks is its owner."`
	MayEdit   bool       `json:"may_edit"`
	OwnerName string     `json:"owner_name"`
	OwnerLeft bool       `json:"owner_left" doc:"Its owner was removed from the organisation."`
	Layout    string     `json:"layout" enum:"1x1,2x1,2x2,3x2,1+5,3x3,1+7,4x3,4x4,5x4,5x5,6x5,6x6" doc:"Columns by rows, or one large tile and so many small ones around it."`
	CycleS    int        `json:"cycle_s" doc:"Seconds that each page is shown; 0: until somebody turns it."`
	Tiles     []WallTile `json:"tiles" nullable:"false" doc:"By place, page after page; the last one is not empty."`
	Version   int64      `json:"version" doc:"Rises with every change; a change names the version that it was made to."`
	CreatedUs int64      `json:"created_us"`
	ChangedUs int64      `json:"changed_us"`
}

// WallTile is one place of a wall.
type WallTile struct {
	State      string `json:"state" enum:"camera,empty,gone,hidden" doc:"gone: its camera was removed. hidden: its camera is not among the sites of the person who asks. Of neither more is said."`
	Camera     string `json:"camera,omitempty"`
	CameraName string `json:"camera_name,omitempty"`
	Site       string `json:"site,omitempty"`
	SiteName   string `json:"site_name,omitempty"`
}

// Walls lists walls, ordered by name.
type Walls struct {
	Walls []Wall `json:"walls" nullable:"false"`
}

// WallPlace is what shall stand in one place of a wall: a camera, what stood in a place before, or, with neither,
// nothing.
type WallPlace struct {
	Camera string `json:"camera,omitempty" maxLength:"64"`
	Keep   *int   `json:"keep,omitempty" minimum:"0" maximum:"35" doc:"A place of the wall as it is: what stands there is kept, also when it is gone or hidden. Not for a new wall."`
}

// WallRequest makes a wall.
type WallRequest struct {
	Name   string      `json:"name" minLength:"1" maxLength:"320" doc:"At most 80 characters."`
	Shared bool        `json:"shared,omitempty"`
	Layout string      `json:"layout" enum:"1x1,2x1,2x2,3x2,1+5,3x3,1+7,4x3,4x4,5x4,5x5,6x5,6x6"`
	CycleS int         `json:"cycle_s,omitempty" minimum:"0" maximum:"3600" doc:"0, or at least 5."`
	Tiles  []WallPlace `json:"tiles" maxItems:"36" nullable:"false"`
}

// WallPatch changes a wall; absent fields stay.
type WallPatch struct {
	Version int64        `json:"version" minimum:"1" doc:"The version that is changed; when there is a newer one, nothing is."`
	Name    *string      `json:"name,omitempty" minLength:"1" maxLength:"320"`
	Shared  *bool        `json:"shared,omitempty"`
	Layout  *string      `json:"layout,omitempty" enum:"1x1,2x1,2x2,3x2,1+5,3x3,1+7,4x3,4x4,5x4,5x5,6x5,6x6"`
	CycleS  *int         `json:"cycle_s,omitempty" minimum:"0" maximum:"3600"`
	Tiles   *[]WallPlace `json:"tiles,omitempty" maxItems:"36" nullable:"false"`
}
