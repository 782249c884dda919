BEGIN TRANSACTION;
CREATE TABLE enrol_answered (
	"key" VARCHAR NOT NULL, 
	request_sha256 VARCHAR NOT NULL, 
	vehicle_ref VARCHAR NOT NULL, 
	status INTEGER NOT NULL, 
	body VARCHAR NOT NULL, 
	at_s BIGINT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "enrol_answered" VALUES('key of enrol_answered','request_sha256 of enrol_answered','bmw-0001',7,'body of enrol_answered',7);
CREATE TABLE enrol_car (
	vehicle_ref VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	seq BIGINT NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "enrol_car" VALUES('bmw-0001','status of enrol_car',7,'{"name":"café"}');
CREATE TABLE enrol_change (
	seq BIGINT NOT NULL, 
	vehicle_ref VARCHAR NOT NULL, 
	what VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "enrol_change" VALUES(7,'bmw-0001','what of enrol_change','2026-11-30T11:00:00+00:00','detail of enrol_change');
CREATE TABLE enrol_choice (
	vehicle_ref VARCHAR NOT NULL, 
	choice VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	until VARCHAR, 
	seq BIGINT NOT NULL, 
	PRIMARY KEY (vehicle_ref, choice, event_id)
);
INSERT INTO "enrol_choice" VALUES('bmw-0001','choice of enrol_choice','e-1','2026-11-30T11:00:00+00:00','2026-12-01T11:00:00+00:00',7);
CREATE TABLE enrol_consent (
	seq BIGINT NOT NULL, 
	vehicle_ref VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	agreed BOOLEAN NOT NULL, 
	at VARCHAR NOT NULL, 
	recorded_at VARCHAR NOT NULL, 
	terms_sha256 VARCHAR NOT NULL, 
	valid_until VARCHAR, 
	PRIMARY KEY (seq)
);
INSERT INTO "enrol_consent" VALUES(7,'bmw-0001','scope of enrol_consent','version of enrol_consent',0,'2026-11-30T11:00:00+00:00','recorded_at of enrol_consent','terms_sha256 of enrol_consent','valid_until of enrol_consent');
CREATE TABLE enrol_decided (
	vehicle_ref VARCHAR NOT NULL, 
	act VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref, act)
);
INSERT INTO "enrol_decided" VALUES('bmw-0001','act of enrol_decided','2026-11-30T11:00:00+00:00');
CREATE TABLE enrol_head (
	id INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	told BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "enrol_head" VALUES(1,7,0);
CREATE TABLE enrol_key (
	name VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	since VARCHAR NOT NULL, 
	PRIMARY KEY (name), 
	UNIQUE (sha256)
);
INSERT INTO "enrol_key" VALUES('name of enrol_key','sha256 of enrol_key','since of enrol_key');
CREATE TABLE enrol_membership (
	vehicle_ref VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	program VARCHAR NOT NULL, 
	since VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref, kind)
);
INSERT INTO "enrol_membership" VALUES('bmw-0001','kind of enrol_membership','program of enrol_membership','since of enrol_membership');
CREATE TABLE enrol_person (
	vehicle_ref VARCHAR NOT NULL, 
	vin VARCHAR, 
	utility VARCHAR, 
	account_id VARCHAR, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref), 
	UNIQUE (vin)
);
INSERT INTO "enrol_person" VALUES('bmw-0001','vin of enrol_person','utility of enrol_person','account_id of enrol_person','{"name":"café"}');
CREATE TABLE enrol_rules (
	seq BIGINT NOT NULL, 
	at VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "enrol_rules" VALUES(7,'2026-11-30T11:00:00+00:00','{"name":"café"}');
CREATE TABLE enrol_terms (
	sha256 VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	PRIMARY KEY (sha256)
);
INSERT INTO "enrol_terms" VALUES('sha256 of enrol_terms','text of enrol_terms');
CREATE INDEX ix_enrol_car_seq ON enrol_car (seq);
CREATE INDEX ix_enrol_car_status ON enrol_car (status);
CREATE INDEX ix_enrol_person_account_id ON enrol_person (account_id);
CREATE INDEX ix_enrol_person_utility ON enrol_person (utility);
CREATE INDEX ix_enrol_membership_program ON enrol_membership (program);
CREATE INDEX ix_enrol_consent_vehicle_ref ON enrol_consent (vehicle_ref);
CREATE INDEX ix_enrol_choice_seq ON enrol_choice (seq);
CREATE INDEX ix_enrol_change_vehicle_ref ON enrol_change (vehicle_ref);
CREATE INDEX ix_enrol_answered_at_s ON enrol_answered (at_s);
CREATE INDEX ix_enrol_answered_vehicle_ref ON enrol_answered (vehicle_ref);
COMMIT;
