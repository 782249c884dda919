BEGIN TRANSACTION;
CREATE TABLE car_burden (
	vehicle_ref VARCHAR NOT NULL, 
	season VARCHAR NOT NULL, 
	kwh FLOAT NOT NULL, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "car_burden" VALUES('bmw-0001','season of car_burden',10.5);
CREATE TABLE car_export (
	vehicle_ref VARCHAR NOT NULL, 
	year INTEGER NOT NULL, 
	year_wh FLOAT NOT NULL, 
	event_id VARCHAR NOT NULL, 
	event_wh FLOAT NOT NULL, 
	counter_wh FLOAT, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "car_export" VALUES('bmw-0001',7,10.5,'e-1',10.5,10.5);
INSERT INTO "car_export" VALUES('bmw-0002',7,10.5,'e-1',10.5,NULL);
CREATE TABLE car_history (
	seq INTEGER NOT NULL, 
	vehicle_ref VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	what VARCHAR NOT NULL, 
	directive_id VARCHAR, 
	state VARCHAR, 
	certainty INTEGER, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "car_history" VALUES(1,'bmw-0001','2026-11-30T11:00:00+00:00','what of car_history','directive_id of car_history','state of car_history',7,'{"name":"café"}');
CREATE TABLE car_wear (
	vehicle_ref VARCHAR NOT NULL, 
	flipped_at VARCHAR, 
	stops INTEGER NOT NULL, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "car_wear" VALUES('bmw-0001','flipped_at of car_wear',7);
CREATE TABLE departure_habit (
	vehicle_ref VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "departure_habit" VALUES('bmw-0001','{"name":"café"}');
CREATE TABLE directive (
	directive_id VARCHAR NOT NULL, 
	vehicle_ref VARCHAR NOT NULL, 
	event_id VARCHAR, 
	state VARCHAR NOT NULL, 
	certainty INTEGER NOT NULL, 
	final BOOLEAN NOT NULL, 
	confirmed BOOLEAN NOT NULL, 
	ends_at VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (directive_id)
);
INSERT INTO "directive" VALUES('directive_id of directive','bmw-0001','e-1','state of directive',7,0,1,'ends_at of directive','{"name":"café"}');
CREATE TABLE driver_choice (
	vehicle_ref VARCHAR NOT NULL, 
	choice VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	until VARCHAR, 
	PRIMARY KEY (vehicle_ref, choice)
);
INSERT INTO "driver_choice" VALUES('bmw-0001','choice of driver_choice','2026-11-30T11:00:00+00:00','2026-12-01T11:00:00+00:00');
CREATE TABLE enrolment (
	vehicle_ref VARCHAR NOT NULL, 
	zone VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "enrolment" VALUES('bmw-0001','bay','{"name":"café"}','2026-11-30T11:00:00+00:00');
CREATE TABLE event_limits (
	event_id VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY (event_id)
);
INSERT INTO "event_limits" VALUES('e-1','{"name":"café"}','2026-11-30T11:00:00+00:00');
CREATE TABLE event_read (
	version VARCHAR NOT NULL, 
	read_at VARCHAR NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "event_read" VALUES('version of event_read','read_at of event_read');
CREATE TABLE first_program (
	payload_type VARCHAR NOT NULL, 
	program_id VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY (payload_type)
);
INSERT INTO "first_program" VALUES('payload_type of first_program','program_id of first_program','2026-11-30T11:00:00+00:00');
CREATE TABLE pace (
	vehicle_ref VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (vehicle_ref)
);
INSERT INTO "pace" VALUES('bmw-0001','{"name":"café"}');
CREATE TABLE report_sent (
	"key" VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	report_id VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "report_sent" VALUES('key of report_sent','e-1','report_id of report_sent','2026-11-30T11:00:00+00:00');
CREATE TABLE understood_limit (
	zone VARCHAR NOT NULL, 
	program_id VARCHAR NOT NULL, 
	dimension VARCHAR NOT NULL, 
	kw FLOAT NOT NULL, 
	at VARCHAR NOT NULL, 
	PRIMARY KEY (zone, program_id, dimension)
);
INSERT INTO "understood_limit" VALUES('bay','program_id of understood_limit','dimension of understood_limit',10.5,'2026-11-30T11:00:00+00:00');
CREATE TABLE zone_energy (
	zone VARCHAR NOT NULL, 
	bucket BIGINT NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (zone, bucket)
);
INSERT INTO "zone_energy" VALUES('bay',7,'{"name":"café"}');
CREATE TABLE zone_history (
	seq INTEGER NOT NULL, 
	zone VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "zone_history" VALUES(1,'bay','2026-11-30T11:00:00+00:00','{"name":"café"}');
CREATE INDEX ix_directive_event_id ON directive (event_id);
CREATE INDEX ix_directive_vehicle_ref ON directive (vehicle_ref);
CREATE INDEX ix_directive_ends_at ON directive (ends_at);
CREATE INDEX ix_directive_final ON directive (final);
CREATE INDEX ix_car_history_vehicle_ref ON car_history (vehicle_ref);
CREATE INDEX ix_zone_history_zone ON zone_history (zone);
COMMIT;
